# tests/lib - fakes and drivers that several tests share.
core_driver_SRCS := core_driver.c
core_driver_USES := core base
$(eval $(call module,core_driver,tests/lib))
