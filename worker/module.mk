# cumulus-worker - the hands on one machine: devices, packages, run folders, reports.
# base comes before chronos: both have a table.h, and chronos's is its own business.
worker_SRCS := arbiter.c backoff.c child.c devices.c distributions.c environments.c fetch.c hello.c home.c link.c minder.c \
  options.c packages.c prepare.c run.c run_say.c runs.c service.c start.c sweep.c tail.c uids.c \
  upload.c watch.c worker.c
worker_USES := rootfs runclean runfolder frame base wire chronos proto
worker_PKGS := libuv
$(eval $(call module,worker,worker))

cumulus-worker_SRCS := main.c
cumulus-worker_USES := worker runfolder base wire chronos proto
cumulus-worker_PKGS := libuv
$(eval $(call program,cumulus-worker,worker))

test_worker_parts_USES := worker runfolder frame base wire chronos proto
$(eval $(call unit_test,test_worker_parts))

# It drives the built program, and is itself the runner that the worker starts.
test_worker_USES := runfolder frame base wire chronos proto
$(eval $(call unit_test,test_worker))
$(BUILD)/tests/test_worker: | $(BUILD)/bin/cumulus-worker $$(RUNNER_WORLD)
