# tests/fuzz - libFuzzer on all that reads what others wrote; `make fuzz` builds it with clang.
#
# A target NAME is fuzz_NAME.c; its seeds are corpus/NAME/.  What the fuzzer adds stays under
# $(BUILD)/corpus/NAME, and an input that breaks something is left as $(BUILD)/NAME-crash-*.
FUZZ_TARGETS := wire_frames wire_message zip_check zip_extract settings requirement runfolder channel \
  chronos_state chronos_partition chronos_device

fuzz_wire_frames_USES  := wire proto base
fuzz_wire_frames_PKGS  := cmocka
fuzz_wire_message_USES := wire proto base
fuzz_zip_check_USES    := rpc base
fuzz_zip_extract_USES  := runparts base
fuzz_zip_extract_LIBS  := -lm
fuzz_settings_USES     := base
fuzz_requirement_USES  := engine core runclean base
fuzz_runfolder_USES    := runclean runfolder frame proto base
fuzz_channel_USES      := runparts runclean runfolder frame proto base
fuzz_channel_LIBS      := -lm
fuzz_chronos_state_USES     := chronos base
fuzz_chronos_partition_USES := chronos base
fuzz_chronos_device_USES    := chronos base

# $1: its name.  The C of the tests' peers is used too, hence tests/unit.
define fuzz_target
fuzz_$1_SRCS    := fuzz_$1.c
fuzz_$1_PKGS    += libprotobuf-c
fuzz_$1_LIBS    ?=
fuzz_$1_CFLAGS  := -iquote tests/unit -Wno-unused-function
fuzz_$1_LDFLAGS := -fsanitize=fuzzer
$(call common,fuzz_$1,tests/fuzz)
.SECONDEXPANSION:
$$(BUILD)/fuzz/$1: $$(fuzz_$1_OBJS) $$$$(foreach m,$$$$(call closure,$$$$(fuzz_$1_USES)),$$$$(BUILD)/lib/lib$$$$m.a)
$(call link,fuzz_$1)
endef
$(foreach t,$(FUZZ_TARGETS),$(eval $(call fuzz_target,$t)))

.PHONY: run-fuzz $(FUZZ_TARGETS:%=run-fuzz-%)
run-fuzz: $(FUZZ_TARGETS:%=run-fuzz-%)

$(FUZZ_TARGETS:%=run-fuzz-%): run-fuzz-%: $(BUILD)/fuzz/%
	@mkdir -p $(BUILD)/corpus/$*
	@echo "  fuzz    $* for $(FUZZ_S) s"
	@$< -max_total_time=$(FUZZ_S) -max_len=4096 -timeout=20 -rss_limit_mb=1024 -verbosity=0 \
	  -print_final_stats=1 -artifact_prefix=$(BUILD)/$*- $(BUILD)/corpus/$* tests/fuzz/corpus/$* \
	  >$(BUILD)/$*.log 2>&1 || { tail -40 $(BUILD)/$*.log; exit 1; }
	@echo "          $* $$(sed -n 's/stat::number_of_executed_units: */ran /p' $(BUILD)/$*.log) inputs"
