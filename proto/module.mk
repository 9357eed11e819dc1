# proto - the C bindings of proto/*.proto, generated into build/proto by protoc-c.
proto_DIR    := $(BUILD)/proto
proto_USES   :=
proto_PKGS   := libprotobuf-c
MODULES      += proto
PROTO_NAMES  := orchestrator worker
PROTO_HEADERS := $(PROTO_NAMES:%=$(BUILD)/proto/%.pb-c.h)
PROTO_OBJS   := $(PROTO_NAMES:%=$(BUILD)/proto/%.pb-c.o)

$(BUILD)/proto/%.pb-c.c $(BUILD)/proto/%.pb-c.h &: proto/%.proto
	@mkdir -p $(@D)
	@echo "  protoc  $<"
	@protoc --proto_path=proto --c_out=$(BUILD)/proto $<
.SECONDARY: $(PROTO_NAMES:%=$(BUILD)/proto/%.pb-c.c)

# Generated code is not held to our warnings.
$(BUILD)/proto/%.pb-c.o: $(BUILD)/proto/%.pb-c.c | $(PROTO_HEADERS)
	@$(CC) $(filter-out -W%,$(CFLAGS)) $(SANFLAGS) -w -iquote $(BUILD)/proto -c $< -o $@
$(BUILD)/lib/libproto.a: $(PROTO_OBJS)
	@mkdir -p $(@D)
	@rm -f $@
	@ar rcs $@ $^
