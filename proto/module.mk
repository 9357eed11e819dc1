# proto - the C bindings of proto/*.proto, generated into build/proto by protoc-c.
proto_DIR    := $(BUILD)/proto
proto_USES   :=
proto_PKGS   := libprotobuf-c
MODULES      += proto
PROTO_NAMES  := orchestrator worker descriptor grpc/health/v1/health grpc/reflection/v1/reflection
PROTO_HEADERS := $(PROTO_NAMES:%=$(BUILD)/proto/%.pb-c.h)
PROTO_OBJS   := $(PROTO_NAMES:%=$(BUILD)/proto/%.pb-c.o)
PROTO_PATHS  := proto proto/third_party

define proto_c
$(BUILD)/proto/%.pb-c.c $(BUILD)/proto/%.pb-c.h &: $1/%.proto
	@mkdir -p $$(@D)
	@echo "  protoc  $$<"
	@protoc --proto_path=$1 --c_out=$(BUILD)/proto $$<
endef
$(foreach p,$(PROTO_PATHS),$(eval $(call proto_c,$p)))
.SECONDARY: $(PROTO_NAMES:%=$(BUILD)/proto/%.pb-c.c)

# Generated code is not held to our warnings.
$(BUILD)/proto/%.pb-c.o: $(BUILD)/proto/%.pb-c.c | $(PROTO_HEADERS)
	@$(CC) $(filter-out -W%,$(CFLAGS)) $(SANFLAGS) -w -iquote $(BUILD)/proto -c $< -o $@
$(BUILD)/lib/libproto.a: $(PROTO_OBJS)
	@mkdir -p $(@D)
	@rm -f $@
	@ar rcs $@ $^

# What cumulusd tells by reflection, comments included (orchestrator/rpc/served.c).
PROTO_SERVED := orchestrator.proto grpc/health/v1/health.proto \
  grpc/reflection/v1/reflection.proto grpc/reflection/v1alpha/reflection.proto
$(BUILD)/proto/served.desc: $(wildcard $(foreach p,$(PROTO_PATHS),$(PROTO_SERVED:%=$p/%))) proto/module.mk
	@mkdir -p $(@D)
	@echo "  protoc  $@"
	@protoc $(PROTO_PATHS:%=--proto_path=%) --include_imports --include_source_info \
	  --descriptor_set_out=$@ $(PROTO_SERVED)
