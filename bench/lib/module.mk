# bench/lib - what the benches share: the load, the rows, the peers.
bench_load_SRCS := load.c
bench_load_USES := wire proto base
bench_load_PKGS := libuv libprotobuf-c

filler_SRCS := filler.c
filler_USES := store core base
$(eval $(call module,filler,bench/lib))

# A program that only benches run: $(call bench_program,NAME,FOLDER) goes to build/bench/.
define bench_program
$1_PKGS ?=
$1_LIBS ?=
$1_CFLAGS ?=
$1_LDFLAGS ?=
$(call common,$1,$2)
.SECONDEXPANSION:
$$(BUILD)/bench/$1: $$($1_OBJS) $$$$(foreach m,$$$$(call closure,$$$$($1_USES)),$$$$(BUILD)/lib/lib$$$$m.a)
$(call link,$1)
endef
$(eval $(call bench_program,bench_load,bench/lib))
