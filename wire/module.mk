# wire - gRPC over HTTP/2: server and client, on nghttp2, libuv and protobuf-c.
wire_SRCS := message.c status.c timeout.c timers.c metadata.c hub.c session.c h2.c head.c \
  incoming.c call.c answer.c address.c server.c client.c ask.c
wire_USES := base
wire_PKGS := libnghttp2 libuv libprotobuf-c
$(eval $(call module,wire,wire))

test_wire_USES := wire proto base
$(eval $(call unit_test,test_wire))
test_wire_calls_USES := wire proto base
$(eval $(call unit_test,test_wire_calls))
test_wire_hostile_USES := wire proto base
$(eval $(call unit_test,test_wire_hostile))
test_wire_client_USES := wire proto base
$(eval $(call unit_test,test_wire_client))
