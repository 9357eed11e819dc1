# runclean - what runner and worker share: control groups, exits, cleaning up.
# base comes before chronos: both have a table.h, and chronos's is its own business.
runclean_SRCS := buildfolder.c cgroup.c device_filter.c dmem.c exits.c fault.c \
  layers.c lock.c nodes.c nvidia.c procs.c render.c runclean.c
runclean_USES := runfolder frame proto base chronos
$(eval $(call module,runclean,runner))

# runparts - the runner's parts, for the program and for tests.
runparts_SRCS := builder.c bundle.c channel.c check.c container.c disk.c environment.c finish.c \
  gpu.c hold.c package.c runner.c setup.c supervise.c
runparts_USES := runclean runfolder frame proto base chronos
runparts_PKGS := jansson libzip
$(eval $(call module,runparts,runner))

cumulus-runner_SRCS := main.c
cumulus-runner_USES := runparts runclean runfolder frame proto base chronos
cumulus-runner_LIBS := -lm
$(eval $(call program,cumulus-runner,runner))

cumulus-builder_SRCS := builder_main.c
cumulus-builder_USES := runparts runclean runfolder frame proto base chronos
cumulus-builder_LIBS := -lm
$(eval $(call program,cumulus-builder,runner))

# cumulus-init - process 1 of every job; static, and never with a sanitizer in it.
cumulus-init_SRCS := init.c
cumulus-init_LDFLAGS := -static
$(eval $(call program,cumulus-init,runner))
$(BUILD)/bin/cumulus-init $(cumulus-init_OBJS): private SANFLAGS :=

# What runs in a job goes beside the programs, where the worker finds it.
$(BUILD)/lib/cumulus/%.py: runner/%.py
	@mkdir -p $(@D)
	@cp $< $@
$(BUILD)/lib/cumulus/%.py: runner/job/%.py
	@mkdir -p $(@D)
	@cp $< $@
# Jobs run the host's Python: where that is another one, start.py takes the source.
$(BUILD)/lib/cumulus/harness.pyc: runner/harness.py
	@mkdir -p $(@D)
	@echo "  python  $<"
	@$(PYTHON3) -c 'import py_compile as p; p.compile("$<", "$@", "/opt/cumulus/harness.py", \
	  doraise=True, invalidation_mode=p.PycInvalidationMode.UNCHECKED_HASH)'
JOB_FILES := $(addprefix $(BUILD)/lib/cumulus/,start.py harness.py harness.pyc cumulus.py)
LIBRARIES += $(JOB_FILES)

# rootfs - the root folder of jobs: a part of the worker that tests use alone.
rootfs_SRCS := filter.c rootfs.c
rootfs_USES := runclean base chronos
rootfs_PKGS := libseccomp
$(eval $(call module,rootfs,worker))

# Tests that run containers, with the programs of the same build.
RUNNER_WORLD := $(BUILD)/bin/cumulus-runner $(BUILD)/bin/cumulus-builder $(BUILD)/bin/cumulus-init \
  $(JOB_FILES)

test_runner_container_USES := rootfs runparts runclean runfolder frame proto base chronos
test_runner_container_PKGS := libzip
test_runner_container_LIBS := -lm
$(eval $(call unit_test,test_runner_container))
$(BUILD)/tests/test_runner_container: $(RUNNER_WORLD)

test_runner_kill_USES := rootfs runparts runclean runfolder frame proto base chronos
test_runner_kill_PKGS := libzip
test_runner_kill_LIBS := -lm
$(eval $(call unit_test,test_runner_kill))
$(BUILD)/tests/test_runner_kill: $(RUNNER_WORLD)

test_runner_start_USES := rootfs runparts runclean runfolder frame proto base chronos
test_runner_start_PKGS := libzip
test_runner_start_LIBS := -lm
$(eval $(call unit_test,test_runner_start))
$(BUILD)/tests/test_runner_start: $(RUNNER_WORLD)

FAULTY_IO := $(BUILD)/tests/faulty_io.so
$(FAULTY_IO): tests/unit/test_runner_faulty_io.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -shared -o $@ $<

test_runner_faults_USES := rootfs runparts runclean runfolder frame proto base chronos
test_runner_faults_PKGS := libzip
test_runner_faults_LIBS := -lm
test_runner_faults_CFLAGS := -DFAULTY_IO_SO='"$(CURDIR)/$(FAULTY_IO)"'
$(eval $(call unit_test,test_runner_faults))
$(BUILD)/tests/test_runner_faults: $(RUNNER_WORLD) $(FAULTY_IO)

test_runner_parts_USES := runparts runclean runfolder frame proto base chronos
test_runner_parts_LIBS := -lm
$(eval $(call unit_test,test_runner_parts))

test_lock_USES := runclean runfolder frame proto base chronos
$(eval $(call unit_test,test_lock))
