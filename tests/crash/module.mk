# tests/crash - kill -9 of every program while jobs run; SEED and CYCLES choose what happens.
SEED   ?= 1
CYCLES ?= 60

.PHONY: run-crash crash-long
run-crash:
	@$(MAKE) --no-print-directory $(VENV)/.made
	@status=0; $(AS_ROOT) env SEED='$(SEED)' CYCLES='$(CYCLES)' \
	  CUMULUS_BUILD='$(or $(CUMULUS_BUILD),build)' \
	  $(VENV)/bin/python -B -m pytest tests/crash || status=$$?; \
	$(if $(AS_ROOT),sudo chown -R "$$(id -u):$$(id -g)" build/crash;) exit $$status

crash-long: ## 2,000 cycles of `crash`, by another seed each time
	@$(MAKE) --no-print-directory crash SEED=$(if $(filter file,$(origin SEED)),$$(date +%s),$(SEED)) CYCLES=2000
