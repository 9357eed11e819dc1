# http - health and metrics.
http_SRCS := http.c metrics.c text.c process.c
# workers.h says what workers tell of themselves.
http_USES := engine relay store core wire base
http_PKGS := libuv libmicrohttpd
$(eval $(call module,http,orchestrator/http))

test_http_text_USES := http base
$(eval $(call unit_test,test_http_text))
