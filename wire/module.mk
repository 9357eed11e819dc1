# wire - gRPC over HTTP/2: server and client, on nghttp2, libuv and protobuf-c.
wire_SRCS := message.c
wire_USES := base
wire_PKGS := libnghttp2 libuv libprotobuf-c
$(eval $(call module,wire,wire))
