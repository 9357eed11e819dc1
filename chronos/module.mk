# libchronos, static for our programs and shared for strangers, and the program chronos.
# It uses no other module: a stranger needs chronos.h and the library, and no more.
chronos_SRCS := account.c amount.c arbiter.c ask.c attach.c clock.c create.c devices.c directory.c discover.c error.c forks.c \
  lease.c partitions.c probe_nvml.c probe_opencl.c settler.c share.c shared_lock.c state.c
$(eval $(call module,chronos,chronos))

# ---- the shared library ----
chronos_SHARED := $(BUILD)/lib/libchronos.so.0
LIBRARIES += $(chronos_SHARED) $(BUILD)/lib/libchronos.so $(BUILD)/lib/pkgconfig/chronos.pc

$(chronos_SHARED): $(chronos_OBJS) chronos/chronos.map
	@mkdir -p $(@D)
	@echo "  link    $@"
	@$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) $(if $(SAN),,-Wl$(comma)-z$(comma)defs) \
	  -shared -Wl,-soname,libchronos.so.0 -Wl,--version-script,chronos/chronos.map \
	  -o $@ $(chronos_OBJS)

$(BUILD)/lib/libchronos.so: $(chronos_SHARED)
	@ln -sfn libchronos.so.0 $@

$(BUILD)/lib/pkgconfig/chronos.pc: chronos/chronos.pc.in Makefile
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' $< > $@

# ---- the OpenCL layer, which brings its own libchronos ----
chronos_opencl_SRCS := addresses.c extensions.c helper.c launch.c layer.c memory.c partition.c queues.c \
  user_events.c views.c wait.c
chronos_opencl_USES := chronos
chronos_opencl_PKGS :=
chronos_opencl_CFLAGS :=
$(eval $(call common,chronos_opencl,chronos/opencl))
chronos_LAYER := $(BUILD)/lib/libchronos-opencl.so
LIBRARIES += $(chronos_LAYER)

$(chronos_LAYER): $(chronos_opencl_OBJS) $(BUILD)/lib/libchronos.a chronos/opencl/layer.map
	@mkdir -p $(@D)
	@echo "  link    $@"
	@$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) $(if $(SAN),,-Wl$(comma)-z$(comma)defs) -shared \
	  -Wl,-z,nodelete -Wl,--version-script,chronos/opencl/layer.map -o $@ \
	  $(chronos_opencl_OBJS) $(BUILD)/lib/libchronos.a

# ---- what is loaded into the programs of a job ----
# Beside the harness, where the worker finds it.  Python loads it: never with a sanitizer.
chronos_IN_JOBS := $(BUILD)/lib/cumulus/libchronos-job.so $(BUILD)/lib/cumulus/libchronos-opencl.so
LIBRARIES += $(chronos_IN_JOBS)
chronos_job_SRCS := job.c
chronos_job_USES :=
chronos_job_PKGS :=
chronos_job_CFLAGS :=
$(eval $(call common,chronos_job,chronos/job))
$(chronos_job_OBJS): private SANFLAGS :=

$(BUILD)/lib/cumulus/libchronos-job.so: $(chronos_job_OBJS)
	@mkdir -p $(@D)
	@echo "  link    $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -Wl,-z,defs -Wl,-z,nodelete -shared -o $@ $<

$(BUILD)/lib/cumulus/libchronos-opencl.so: chronos/opencl/layer.map $(wildcard chronos/*.[ch]) \
  $(wildcard chronos/opencl/*.[ch]) Makefile mk/rules.mk
	@mkdir -p $(@D)
	@echo "  link    $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -iquote chronos -iquote chronos/opencl -shared -Wl,-z,defs \
	  -Wl,-z,nodelete -Wl,--version-script,$< -o $@ $(chronos_opencl_SRCS:%=chronos/opencl/%) \
	  $(chronos_SRCS:%=chronos/%)

# ---- the program, whose name is its library's ----
chronos_cli_SRCS := main.c arbiter.c columns.c commands.c doctor.c help.c run.c screen.c show.c supervise.c watch.c
chronos_cli_USES := chronos
chronos_cli_PKGS := jansson
chronos_cli_CFLAGS :=
chronos_cli_LDFLAGS :=
chronos_cli_LIBS :=
$(eval $(call common,chronos_cli,chronos/cli))
PROGRAMS += $(BUILD)/bin/chronos
define chronos_cli_rule
$$(BUILD)/bin/chronos: $$(chronos_cli_OBJS) $$(BUILD)/lib/libchronos.a
$(call link,chronos_cli)
endef
$(eval $(chronos_cli_rule))

# ---- tests ----
test_chronos_USES := chronos
$(eval $(call unit_test,test_chronos))

test_chronos_state_USES := chronos
$(eval $(call unit_test,test_chronos_state))

test_chronos_share_USES := chronos
$(eval $(call unit_test,test_chronos_share))

test_chronos_account_USES := chronos
$(eval $(call unit_test,test_chronos_account))

test_chronos_lease_USES := chronos
$(eval $(call unit_test,test_chronos_lease))

test_chronos_clocks_USES := chronos
$(eval $(call unit_test,test_chronos_clocks))

test_chronos_arbiter_USES := chronos
$(eval $(call unit_test,test_chronos_arbiter))

test_chronos_opencl_USES := chronos
test_chronos_opencl_LIBS := -lOpenCL
chronos_FAKE_USM := $(BUILD)/tests/libfake-usm.so
$(chronos_FAKE_USM): tests/unit/test_chronos_fake_usm.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -shared -o $@ $<
C_SOURCES += tests/unit/test_chronos_fake_usm.c
test_chronos_opencl_CFLAGS := -DCHRONOS_LAYER='"$(chronos_LAYER)"' \
  -DFAKE_USM='"$(abspath $(chronos_FAKE_USM))"' \
  -DCHRONOS_BIN='"$(BUILD)/bin/chronos"'
$(eval $(call unit_test,test_chronos_opencl))
$(BUILD)/tests/test_chronos_opencl: $(chronos_LAYER) $(chronos_FAKE_USM) $(BUILD)/bin/chronos

# The library once more, with the places where its tests kill it; nothing else links it.
chronos_faults_OBJS := $(chronos_SRCS:%.c=$(BUILD)/obj/chronos-faults/%.o)
$(chronos_faults_OBJS): $(BUILD)/obj/chronos-faults/%.o: chronos/%.c Makefile mk/rules.mk
	@mkdir -p $(@D)
	@echo "  cc      $< (with fault points)"
	@$(CC) $(CFLAGS) $(SANFLAGS) -DCHRONOS_FAULT_POINTS -MMD -MP -iquote chronos -c $< -o $@
-include $(chronos_faults_OBJS:.o=.d)

$(BUILD)/lib/libchronos-faults.a: $(chronos_faults_OBJS)
	@mkdir -p $(@D)
	@rm -f $@
	@ar rcs $@ $^

test_chronos_faults_CFLAGS := -iquote chronos
test_chronos_faults_LIBS := $(BUILD)/lib/libchronos-faults.a
$(eval $(call unit_test,test_chronos_faults))
$(BUILD)/tests/test_chronos_faults: $(BUILD)/lib/libchronos-faults.a

.PHONY: chronos-faults-long
chronos-faults-long: $(BUILD)/tests/test_chronos_faults ## 1,000 kills at each point of chronos
	@CHRONOS_KILLS=1000 CHRONOS_RACERS=2000 CHRONOS_CLIENTS=4096 $<

test_chronos_shared_CFLAGS := -iquote chronos -DCHRONOS_SO='"$(chronos_SHARED)"'
$(eval $(call unit_test,test_chronos_shared))
$(BUILD)/tests/test_chronos_shared: $(chronos_SHARED)

# The program itself, beside an NVML and an OpenCL that the test brings.
chronos_FAKE_NVML := $(BUILD)/tests/fake-nvml/libnvidia-ml.so.1
$(chronos_FAKE_NVML): tests/unit/test_chronos_fake_nvml.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -shared -Wl,-soname,libnvidia-ml.so.1 -o $@ $<
chronos_FAKE_OPENCL := $(BUILD)/tests/fake-opencl/libOpenCL.so.1
$(chronos_FAKE_OPENCL): tests/unit/test_chronos_fake_opencl.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -shared -Wl,-soname,libOpenCL.so.1 -o $@ $<

test_chronos_cli_USES := chronos
test_chronos_cli_PKGS := jansson
test_chronos_cli_CFLAGS := -DCHRONOS_BIN='"$(BUILD)/bin/chronos"' \
  -DFAKE_NVML_DIR='"$(dir $(chronos_FAKE_NVML))"' \
  -DFAKE_OPENCL_DIR='"$(dir $(chronos_FAKE_OPENCL))"' \
  -DCHRONOS_LAYER='"$(chronos_LAYER)"'
$(eval $(call unit_test,test_chronos_cli))
$(BUILD)/tests/test_chronos_cli: $(BUILD)/bin/chronos $(chronos_LAYER) $(chronos_FAKE_NVML) \
  $(chronos_FAKE_OPENCL)
C_SOURCES += tests/unit/test_chronos_fake_nvml.c tests/unit/test_chronos_fake_opencl.c
TEST_PROGRAMS += $(chronos_FAKE_OPENCL)
