# rpc - OrchestratorService: checks and decodes requests, streams events and output.
rpc_SRCS := service.c intake.c package.c submit.c watch.c jobs.c explain.c logs.c \
  uploads.c labels.c pool.c tape.c translate.c health.c reflection.c symbols.c served.c
rpc_USES := relay store core wire frame proto base
rpc_PKGS := libuv libzip libprotobuf-c
$(eval $(call module,rpc,orchestrator/rpc))

$(BUILD)/obj/orchestrator/rpc/served.o: rpc_CFLAGS := -DRPC_SERVED='"$(BUILD)/proto/served.desc"'
$(BUILD)/obj/orchestrator/rpc/served.o: $(BUILD)/proto/served.desc

test_package_USES := rpc base
test_package_PKGS := libzip
$(eval $(call unit_test,test_package))

test_symbols_USES := rpc wire proto base
$(eval $(call unit_test,test_symbols))
