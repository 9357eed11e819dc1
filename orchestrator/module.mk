# cumulusd - the orchestrator: main connects the parts.
cumulusd_SRCS := main.c config.c privileges.c
cumulusd_USES := rpc http engine relay store core wire base
cumulusd_PKGS := libuv
$(eval $(call program,cumulusd,orchestrator))
