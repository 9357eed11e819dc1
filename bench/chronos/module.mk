# bench_chronos - what partitions cost, and how exactly they hold.
bench_chronos_SRCS := bench_chronos.c keeper.c place.c contest.c machine.c books.c commands.c \
  race.c shares.c busy.c devices.c cap.c overhead.c burst.c expiry.c recovery.c memory.c hooks.c \
  arbiter.c child.c opencl.c cuda.c plot.c
bench_chronos_USES := figures chronos base
bench_chronos_LIBS := -lm
$(eval $(call bench_program,bench_chronos,bench/chronos))

# What it measures the layers with.
bench_opencl_SRCS := bench_opencl.c
bench_opencl_USES := figures
bench_opencl_LIBS := -lOpenCL
$(eval $(call bench_program,bench_opencl,bench/chronos))

bench_cuda_SRCS := bench_cuda.c
bench_cuda_USES := figures
bench_cuda_CFLAGS := -iquote chronos/cuda
bench_cuda_LIBS = $(FAKE_CUDA)/libcuda.so.1
bench_cuda_LDFLAGS = -Wl,-rpath,$(abspath $(FAKE_CUDA))
$(eval $(call bench_program,bench_cuda,bench/chronos))
$(BUILD)/bench/bench_cuda: $(FAKE_CUDA)/libcuda.so.1

bench_chronos_NEEDS := $(addprefix $(BUILD)/bench/,bench_opencl bench_cuda) $(BUILD)/bin/chronos \
  $(chronos_LAYER) $(chronos_CUDA_IN_JOBS)

.PHONY: bench-chronos
bench-chronos: $(BUILD)/bench/bench_chronos $(bench_chronos_NEEDS) ## what a partition costs (BENCH_ROUNDS)
	@$< --results $(BUILD)/bench $(addprefix --rounds ,$(or $(BENCH_ROUNDS),$(if $(filter-out 0,$(BENCH_QUICK)),1)))

.PHONY: bench-chronos-docs
bench-chronos-docs: ## write the figures and the plot of the last bench-chronos into docs/
	@$(PYTHON3) -B bench/chronos/tables.py $(BUILD)/bench/chronos.json docs/chronos.md docs/chronos-cuda.md
	@cp $(BUILD)/bench/chronos-shares.svg docs/chronos-shares.svg
