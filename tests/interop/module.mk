# tests/interop - gRPC's own interop cases against wire/ (test_interop.py; `make e2e` runs it).
interop_DIR    := $(BUILD)/interop
interop_SRCS   := server.c
interop_USES   := wire base
interop_PKGS   := libuv libprotobuf-c
interop_LIBS   := $(BUILD)/interop/test.pb-c.o
interop_CFLAGS := -iquote $(BUILD)/interop
interop_LDFLAGS :=

define interop_program
$(call common,interop,tests/interop)
.SECONDEXPANSION:
$(BUILD)/tests/interop_server: $$(interop_OBJS) $$(interop_LIBS) $$$$(foreach m,$$$$(call closure,$$$$(interop_USES)),$$$$(BUILD)/lib/lib$$$$m.a)
$(call link,interop)
endef
$(eval $(call interop_program))
TEST_PROGRAMS += $(BUILD)/tests/interop_server

$(interop_OBJS): $(BUILD)/interop/test.pb-c.h
$(BUILD)/interop/test.pb-c.c $(BUILD)/interop/test.pb-c.h &: tests/interop/test.proto
	@mkdir -p $(@D)
	@echo "  protoc  $<"
	@protoc --proto_path=tests/interop --c_out=$(@D) $<
$(BUILD)/interop/test.pb-c.o: $(BUILD)/interop/test.pb-c.c
	@$(CC) $(filter-out -W%,$(CFLAGS)) $(SANFLAGS) -w -iquote $(@D) -c $< -o $@
