# relay - where the core meets the store, the files, the service and the engine.
relay_SRCS := relay.c tally.c
relay_USES := store frame core base
relay_PKGS := libuv
$(eval $(call module,relay,orchestrator/relay))
