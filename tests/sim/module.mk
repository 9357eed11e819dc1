# tests/sim - the real core in a simulated cluster, driven by seeds.
sim_SRCS := sim.c store.c workers.c clients.c
sim_USES := core base
sim_PKGS :=
sim_LIBS :=
sim_CFLAGS :=
sim_LDFLAGS :=

define sim_program
$(call common,sim,tests/sim)
.SECONDEXPANSION:
$$(BUILD)/tests/sim: $$(sim_OBJS) $$$$(foreach m,$$$$(call closure,$$$$(sim_USES)),$$$$(BUILD)/lib/lib$$$$m.a)
$(call link,sim)
endef
$(eval $(call sim_program))

.PHONY: run-sim
run-sim: $(BUILD)/tests/sim ## random clusters, clients and crashes against the core (SEEDS=10000)
	@$(BUILD)/tests/sim --seeds $(or $(SEEDS),10000)
