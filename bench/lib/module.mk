# bench/lib - what the benches share: the load, the rows, the peers.
bench_load_SRCS := load.c
bench_load_USES := wire proto base
bench_load_PKGS := libuv libprotobuf-c

filler_SRCS := filler.c
filler_USES := store core base
$(eval $(call module,filler,bench/lib))

figures_SRCS := figures.c samples.c
figures_USES := base
figures_PKGS := jansson
$(eval $(call module,figures,bench/lib))

test_figures_USES := figures base
test_figures_PKGS := jansson
$(eval $(call unit_test,test_figures))

$(eval $(call bench_program,bench_load,bench/lib))
