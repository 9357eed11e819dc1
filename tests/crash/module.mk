# tests/crash - kill -9 of every program while jobs run; SEED and CYCLES choose what happens.
SEED   ?= 1
CYCLES ?= 60

.PHONY: run-crash crash-long
run-crash:
	@$(MAKE) --no-print-directory $(VENV)/.made
	@SEED='$(SEED)' CYCLES='$(CYCLES)' $(VENV)/bin/python -m pytest tests/crash

crash-long: ## 2,000 cycles of `crash`, by another seed each time
	@$(MAKE) --no-print-directory crash SEED=$(if $(filter file,$(origin SEED)),$$(date +%s),$(SEED)) CYCLES=2000
