# engine - which workers there are, and how runs get onto them.
engine_SRCS := local.c embedded.c workers.c blobs.c requirement.c
engine_USES := relay store core wire proto base
engine_PKGS := libuv libprotobuf-c
$(eval $(call module,engine,orchestrator/engine))

test_requirement_USES := engine
$(eval $(call unit_test,test_requirement))
