# base - the small shared floor: errors, text, bytes, lists, tables, clocks, ids, files, log, settings,
# notices to a service manager, histograms.
base_SRCS := err.c xalloc.c str.c buf.c table.c clock.c id.c log.c file.c digest.c settings.c \
  notify.c hangup.c histogram.c
base_PKGS := libcrypto yaml-0.1
$(eval $(call module,base,base))

test_base_USES := base
$(eval $(call unit_test,test_base))

test_settings_USES := base
$(eval $(call unit_test,test_settings))

test_log_USES := base
test_log_PKGS := jansson
$(eval $(call unit_test,test_log))
