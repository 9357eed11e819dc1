# bench-store - durable submissions, changes and restarts of the store, beside raw SQLite.
bench_store_SRCS := bench_store.c
bench_store_USES := store core base
bench_store_PKGS := sqlite3 jansson
$(eval $(call common,bench_store,bench/store))
define bench_store_rule
.SECONDEXPANSION:
$$(BUILD)/bench/bench_store: $$(bench_store_OBJS) $$$$(foreach m,$$$$(call closure,$$$$(bench_store_USES)),$$$$(BUILD)/lib/lib$$$$m.a)
$(call link,bench_store)
endef
$(eval $(bench_store_rule))

.PHONY: bench-store
bench-store: $(BUILD)/bench/bench_store ## what durability costs
	@$< $(BUILD)/bench $(BUILD)/bench/store.json
