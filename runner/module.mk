# runclean - what runner and worker share: control groups, exits, cleaning up.
# base comes before chronos: both have a table.h, and chronos's is its own business.
runclean_SRCS := cgroup.c exits.c fault.c procs.c runclean.c
runclean_USES := runfolder frame proto base chronos
$(eval $(call module,runclean,runner))

# rootfs - the root folder of jobs: a part of the worker that tests use alone.
rootfs_SRCS := filter.c rootfs.c
rootfs_USES := base
rootfs_PKGS := libseccomp
$(eval $(call module,rootfs,worker))
