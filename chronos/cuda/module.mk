# The CUDA layer, preloaded into the programs of a partition; it brings its own libchronos.
chronos_cuda_SRCS := contexts.c events.c held.c helper.c launch.c memory.c next_symbol.c \
  partition.c pools.c reach.c streams.c views.c vmm.c wait.c
chronos_cuda_USES := chronos
chronos_cuda_PKGS :=
chronos_cuda_CFLAGS :=
$(eval $(call common,chronos_cuda,chronos/cuda))
chronos_CUDA := $(BUILD)/lib/libchronos-cuda.so
LIBRARIES += $(chronos_CUDA)

# Symbolic: what it calls by the names that it covers are its own functions.
$(chronos_CUDA): $(chronos_cuda_OBJS) $(BUILD)/lib/libchronos.a chronos/cuda/cuda.map
	@mkdir -p $(@D)
	@echo "  link    $@"
	@$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) $(if $(SAN),,-Wl$(comma)-z$(comma)defs) -shared \
	  -Wl,-z,nodelete -Wl,-Bsymbolic -Wl,--version-script,chronos/cuda/cuda.map -o $@ \
	  $(chronos_cuda_OBJS) $(BUILD)/lib/libchronos.a
