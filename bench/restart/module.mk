# bench-restart - time to serve again, memory of a job: this fills the store.
bench_fill_SRCS := fill.c
bench_fill_USES := filler store core base
$(eval $(call bench_program,bench_fill,bench/restart))
