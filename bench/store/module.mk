# bench-store - durable submissions, changes and restarts of the store, beside raw SQLite.
bench_store_SRCS := bench_store.c
bench_store_USES := filler figures store core base
bench_store_PKGS := sqlite3
$(eval $(call bench_program,bench_store,bench/store))

.PHONY: bench-store
bench-store: $(BUILD)/bench/bench_store ## what durability costs
	@$< $(BUILD)/bench $(BUILD)/bench/store.json
