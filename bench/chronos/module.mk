# bench_chronos - what partitions cost, and how exactly they hold.
bench_chronos_SRCS := bench_chronos.c keeper.c place.c contest.c machine.c books.c commands.c \
  race.c shares.c busy.c devices.c cap.c overhead.c burst.c expiry.c recovery.c memory.c hooks.c \
  arbiter.c plot.c
bench_chronos_USES := figures chronos base
bench_chronos_LIBS := -lm
$(eval $(call bench_program,bench_chronos,bench/chronos))

.PHONY: bench-chronos
bench-chronos: $(BUILD)/bench/bench_chronos $(BUILD)/bin/chronos ## what a partition costs (BENCH_ROUNDS)
	@$< --results $(BUILD)/bench $(BENCH_ROUNDS:%=--rounds %)
