# http - health and metrics.
http_SRCS := http.c metrics.c
http_USES := relay store core base
http_PKGS := libuv libmicrohttpd
$(eval $(call module,http,orchestrator/http))
