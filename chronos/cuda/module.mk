# The CUDA layer, preloaded into the programs of a partition; it brings its own libchronos.
chronos_cuda_SRCS := contexts.c events.c graphs.c held.c helper.c launch.c memory.c next_symbol.c \
  partition.c pools.c reach.c streams.c table.c views.c vmm.c wait.c
chronos_cuda_USES := chronos
chronos_cuda_PKGS :=
chronos_cuda_CFLAGS := -ftls-model=initial-exec
$(eval $(call common,chronos_cuda,chronos/cuda))
# A sanitizer's own start asks dlsym before it is ready to be called itself.
$(BUILD)/obj/chronos/cuda/reach.o $(BUILD)/obj/chronos/cuda/next_symbol.o: SANFLAGS :=
chronos_CUDA := $(BUILD)/lib/libchronos-cuda.so
LIBRARIES += $(chronos_CUDA)

# Symbolic: what it calls by the names that it covers are its own functions.
$(chronos_CUDA): $(chronos_cuda_OBJS) $(BUILD)/lib/libchronos.a chronos/cuda/cuda.map
	@mkdir -p $(@D)
	@echo "  link    $@"
	@$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) $(if $(SAN),,-Wl$(comma)-z$(comma)defs) -shared \
	  -Wl,-z,nodelete -Wl,-Bsymbolic -Wl,--version-script,chronos/cuda/cuda.map -o $@ \
	  $(chronos_cuda_OBJS) $(BUILD)/lib/libchronos.a

# The one that jobs get: never with a sanitizer, which a shell or a Python would not have.
chronos_CUDA_IN_JOBS := $(BUILD)/lib/cumulus/libchronos-cuda.so
LIBRARIES += $(chronos_CUDA_IN_JOBS)
$(chronos_CUDA_IN_JOBS): chronos/cuda/cuda.map $(wildcard chronos/*.[ch]) \
  $(wildcard chronos/cuda/*.[ch]) Makefile mk/rules.mk
	@mkdir -p $(@D)
	@echo "  link    $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $(chronos_cuda_CFLAGS) -iquote chronos -iquote chronos/cuda \
	  -shared -Wl,-z,defs -Wl,-z,nodelete -Wl,-Bsymbolic -Wl,--version-script,$< -o $@ \
	  $(chronos_cuda_SRCS:%=chronos/cuda/%) $(chronos_SRCS:%=chronos/%)

$(BUILD)/tests/test_chronos_cli $(BUILD)/tests/test_chronos_opencl: $(chronos_CUDA_IN_JOBS)

# ---- tests: a driver that they bring, and a program that uses it ----
FAKE_CUDA := $(BUILD)/tests/fake-cuda
chronos_FAKES := $(FAKE_CUDA)/libcuda.so.1 $(FAKE_CUDA)/libnvidia-ml.so.1
chronos_FAKE_CC = $(CC) $(CFLAGS) -iquote chronos/cuda -iquote tests/cuda

$(FAKE_CUDA)/libcuda.so.1: $(addprefix tests/cuda/fake/,captures.c contexts.c devices.c events.c \
  graphs.c launch.c memory.c physical.c pools.c procaddress.c state.c streams.c things.c)
$(FAKE_CUDA)/libnvidia-ml.so.1: tests/cuda/fake/nvml.c
$(chronos_FAKES): tests/cuda/fake/gpus.c tests/cuda/fake/fake.h tests/cuda/fake_driver.h \
  chronos/cuda/driver.h chronos/cuda/symbols.h
	@mkdir -p $(@D)
	@echo "  link    $@"
	@$(chronos_FAKE_CC) -shared -Wl,-Bsymbolic -Wl,-soname,$(@F) -o $@ $(filter %.c,$^)

$(BUILD)/tests/cuda_program: tests/cuda/program.c tests/cuda/fake_driver.h \
  chronos/cuda/driver.h chronos/cuda/symbols.h $(FAKE_CUDA)/libcuda.so.1
	@mkdir -p $(@D)
	@echo "  link    $@"
	@$(chronos_FAKE_CC) $(SANFLAGS) -o $@ $< $(FAKE_CUDA)/libcuda.so.1 -pthread
TEST_PROGRAMS += $(BUILD)/tests/cuda_program $(chronos_FAKES)

test_chronos_cuda_USES := chronos
test_chronos_cuda_CFLAGS := -iquote chronos/cuda -iquote tests/cuda \
  -DCHRONOS_CUDA='"$(abspath $(chronos_CUDA))"' \
  -DCHRONOS_CUDA_PLAIN='"$(abspath $(chronos_CUDA_IN_JOBS))"' \
  -DCUDA_PROGRAM='"$(BUILD)/tests/cuda_program"' \
  -DFAKE_CUDA_DIR='"$(abspath $(FAKE_CUDA))"' \
  -DRUNTIME_REQUESTS='"tests/cuda/runtime_requests.txt"'
$(eval $(call unit_test,test_chronos_cuda))
$(BUILD)/tests/test_chronos_cuda: $(chronos_CUDA) $(chronos_CUDA_IN_JOBS) $(chronos_FAKES) \
  $(BUILD)/tests/cuda_program

# PYTHON names a Python with PyTorch.
PYTHON ?= python3
.PHONY: gpu-check
gpu-check: $(BUILD)/bin/chronos $(chronos_CUDA_IN_JOBS) $(BUILD)/lib/libchronos-opencl.so ## does Chronos hold PyTorch on this machine's GPU? (PYTHON)
	@$(PYTHON) scripts/gpu_check.py $(BUILD)
