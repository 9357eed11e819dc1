# targets.mk - what a person types.

JOBS   := $(shell nproc 2>/dev/null || echo 2)
E2E    ?= tests/e2e
# A unit test that hangs must not hang everything; none is near this.
UNIT_LIMIT_S ?= 300
# Jobs need root; sudo, so that a user can run the tests too.
AS_ROOT := $(if $(filter-out 0,$(shell id -u)),sudo env PATH="$$PATH")
C_FILES = $(shell git ls-files '*.c' '*.h')

.PHONY: all demo setup setup-test test unit sim crash fuzz fuzz-long e2e lint format help clean
all: $(PROGRAMS) $(LIBRARIES) ## build every program and library
	@:

demo: ## install what it needs, build, and watch four jobs run
	@scripts/setup.sh build
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@scripts/demo.sh

setup: ## install the Debian packages that the build needs
	@scripts/setup.sh build

setup-test: ## and those that the tests need
	@scripts/setup.sh test

test: ## everything that must pass: build, lint, unit, tsan, sim, e2e, crash
	@MAKE='$(MAKE)' scripts/test.sh

unit: ## unit tests under ASan and UBSan
	@$(MAKE) --no-print-directory -j$(JOBS) SAN=address build-unit
	@$(MAKE) --no-print-directory SAN=address run-unit

# Each of $1, however many fail.
run_tests = @bad=; for t in $1; do echo "== $$t"; \
	  $(AS_ROOT) timeout -k 5 $(UNIT_LIMIT_S) $$t 2>&1 || bad="$$bad $$t"; done; \
	  [ -z "$$bad" ] || { echo "failed:$$bad" >&2; exit 1; }

.PHONY: build-unit run-unit
build-unit: $(UNIT_TESTS) $(TEST_PROGRAMS) $(PROGRAMS)
run-unit: build-unit
	$(call run_tests,$(UNIT_TESTS))

# Whoever adds a thread adds the test that runs it.  The layer of CUDA is not among them: its
# tests load it into programs that were built without TSan.
TSAN_TESTS := $(addprefix $(BUILD)/tests/test_,store backup log chronos_faults chronos_share \
  chronos_lease)
.PHONY: tsan build-tsan run-tsan
tsan: ## the tests of what has threads, under TSan
	@$(MAKE) --no-print-directory -j$(JOBS) SAN=thread build-tsan
	@$(MAKE) --no-print-directory SAN=thread run-tsan
build-tsan: $(TSAN_TESTS)
run-tsan: build-tsan
	$(call run_tests,$(TSAN_TESTS))

# tests/sim/module.mk and tests/crash/module.mk say what run-sim and run-crash do.
sim: ## the simulator: the real core under random clients, workers and crashes
ifneq ($(wildcard tests/sim/module.mk),)
	@$(MAKE) --no-print-directory -j$(JOBS) SAN=address run-sim
else
	@echo "SKIPPED sim: there is no tests/sim/module.mk"
endif

crash: ## kill -9 of every program while jobs run
ifneq ($(wildcard tests/crash/module.mk),)
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@$(MAKE) --no-print-directory run-crash
else
	@echo "SKIPPED crash: there is no tests/crash/module.mk"
endif

# libFuzzer comes with clang.
FUZZ_CC ?= clang
FUZZ_S  ?= 10
fuzz: ## any bytes to all that reads what others wrote, FUZZ_S seconds for each parser
	@$(MAKE) --no-print-directory -j$(JOBS) CC="$(FUZZ_CC)" SAN=fuzz FUZZ_S=$(FUZZ_S) run-fuzz

fuzz-long: ## the same for ten minutes each
	@$(MAKE) --no-print-directory fuzz FUZZ_S=600

.PHONY: reference
reference: all ## write the settings and metrics into docs/operate.md and deploy/
	@$(PYTHON3) scripts/write_reference.py

# promtool alone: Debian's package would start a Prometheus.
$(TOOLS)/promtool:
	@mkdir -p $(TOOLS)/deb
	@echo "  apt     promtool"
	@cd $(TOOLS)/deb && apt-get -q=2 -o APT::Sandbox::User=root download prometheus && \
	  dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x --strip-components=3 ./usr/bin/promtool
	@mv $(TOOLS)/deb/promtool $@ && rm -rf $(TOOLS)/deb && touch $@

# Go compiles its packages as one of the e2e tests, its programs are the clients of others.
e2e: $(VENV)/.made ## the programs, with clients of today: grpcio, grpc-go, grpcurl (E2E=FILE)
	@$(MAKE) --no-print-directory -j$(JOBS) all $(TEST_PROGRAMS)
	@! scripts/new_enough_go.sh || $(MAKE) --no-print-directory \
	  $(addprefix $(TOOLS)/,grpcurl interop_client h2spec)
	@! command -v apt-get >/dev/null || $(MAKE) --no-print-directory $(TOOLS)/promtool
	@$(AS_ROOT) $(VENV)/bin/python -B -m pytest $(E2E)

.PHONY: lint-format lint-clang lint-tidy compile-commands build-objects
# The simulator and the benchmarks too, which neither `all` nor `build-unit` needs.
build-objects: $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out tests/unit/%,$(C_SOURCES)))

lint: lint-format lint-clang lint-tidy ## style, warnings of gcc and clang, clang-tidy

lint-format:
	@clang-format --dry-run -Werror $(C_FILES)

lint-clang:
	@$(MAKE) --no-print-directory -j$(JOBS) CC=clang BUILD=build/clang all build-unit build-objects

lint-tidy: compile-commands
	@printf '%s\n' $(sort $(filter-out tests/unit/%,$(C_SOURCES))) | \
	  xargs -P $(JOBS) -n 4 scripts/tidy.sh build/clang

# clang-tidy is told what make would run.  Unit tests are left out: cmocka's longjmps are
# beyond it.
compile-commands: lint-clang
	@$(MAKE) --no-print-directory -n -B CC=clang BUILD=build/clang all build-unit build-objects | \
	  $(PYTHON3) scripts/compile_commands.py > build/clang/compile_commands.json

format: ## clang-format on every C file
	@clang-format -i $(C_FILES)

# What runs a bench is Python: it starts systems as the e2e tests do.
BENCHES := submit start jobs unary streams restart
# BENCH_QUICK=1: short runs, to see that a bench works.  BENCH_ROUNDS=N: other than 5.
BENCH_PROGRAMS = $(BUILD)/bench/bench_load $(BUILD)/bench/bench_fill

.PHONY: bench bench-tables $(BENCHES:%=bench-%)
bench: ## every figure beside its baseline, one after the other (about 25 minutes)
	@bad=; for b in $(BENCHES) store chronos; do \
	  $(MAKE) --no-print-directory bench-$$b || bad="$$bad $$b"; done; \
	  [ -z "$$bad" ] || { echo "did not run to their end:$$bad" >&2; exit 1; }

bench-tables: ## the tables of the benches that were run, as docs/performance.md has them
	@$(PYTHON3) -B bench/lib/harness.py
	@[ ! -f $(BUILD)/bench/chronos.json ] || $(PYTHON3) -B bench/chronos/tables.py $(BUILD)/bench/chronos.json

bench-submit: ## durable submissions a second
bench-start: ## from a submission to the first line of main()
bench-jobs: ## trivial contained jobs a second
bench-unary: ## GetJobStatus a second, and what each costs
bench-streams: ## memory of a watcher
bench-restart: ## time to serve again, memory of a job
$(BENCHES:%=bench-%): bench-%: $(VENV)/.made
	@$(MAKE) --no-print-directory -j$(JOBS) all $(BENCH_PROGRAMS)
	@$(AS_ROOT) $(VENV)/bin/python -B bench/$*/bench.py

clean: ## remove what was built
	rm -rf build

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort -u | expand -t 24
