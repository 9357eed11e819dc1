# targets.mk - what a person types.

.PHONY: all unit test demo lint format help clean
all: $(PROGRAMS) $(LIBRARIES) ## build every program and library

unit: ## unit tests under ASan and UBSan
	@$(MAKE) --no-print-directory SAN=address run-unit

.PHONY: run-unit
run-unit: $(UNIT_TESTS)
	@for t in $(UNIT_TESTS); do echo "== $$t"; $$t || exit 1; done

clean: ## remove what was built
	rm -rf build

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 24
