# libchronos, static for our programs and shared for strangers, and the program chronos.
# It uses no other module: a stranger needs chronos.h and the library, and no more.
chronos_SRCS := amount.c devices.c directory.c discover.c error.c partitions.c \
  probe_nvml.c probe_opencl.c state.c
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

# ---- the program, whose name is its library's ----
chronos_cli_SRCS := main.c commands.c show.c
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
