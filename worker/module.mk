# cumulus-worker - the hands on one machine: devices, packages, run folders, reports.
worker_SRCS := backoff.c devices.c distributions.c fetch.c home.c link.c options.c \
  packages.c service.c spawn.c uids.c
# base comes before chronos: both have a table.h, and chronos's is its own business.
worker_USES := base wire chronos proto
worker_PKGS := libuv
$(eval $(call module,worker,worker))

test_worker_parts_USES := worker base
$(eval $(call unit_test,test_worker_parts))
