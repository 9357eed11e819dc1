# demo.mk - `make demo`: from a bare machine to jobs that have run.

.PHONY: demo
demo: ## install what is needed, build, run the examples, leave nothing behind
	@scripts/setup.sh build
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@BUILD=$(BUILD) scripts/demo.sh
