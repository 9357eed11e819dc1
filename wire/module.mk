# wire - gRPC over HTTP/2: server and client, on nghttp2, libuv and protobuf-c.
wire_SRCS := message.c status.c timeout.c timers.c metadata.c hub.c session.c h2.c head.c \
  incoming.c call.c answer.c address.c server.c client.c ask.c
wire_USES := base
wire_PKGS := libnghttp2 libuv libprotobuf-c
$(eval $(call module,wire,wire))

test_wire_USES := wire proto base
$(eval $(call unit_test,test_wire))
test_wire_calls_USES := wire proto base
$(eval $(call unit_test,test_wire_calls))
test_wire_hostile_USES := wire proto base
$(eval $(call unit_test,test_wire_hostile))
test_wire_client_USES := wire proto base
$(eval $(call unit_test,test_wire_client))

# Fuzzing needs clang's libFuzzer: `make fuzz-wire FUZZ_S=600`.
FUZZ_S    ?= 20
WIRE_FUZZ := fuzz_wire_message fuzz_wire_frames
.PHONY: fuzz-wire
fuzz-wire: $(WIRE_FUZZ:%=$(BUILD)/fuzz/%) ## fuzz messages and frames for FUZZ_S seconds each
	@for f in $(WIRE_FUZZ); do mkdir -p $(BUILD)/fuzz/corpus/$$f; \
	  $(BUILD)/fuzz/$$f -max_total_time=$(FUZZ_S) -max_len=4096 -print_final_stats=1 \
	    -artifact_prefix=$(BUILD)/fuzz/ $(BUILD)/fuzz/corpus/$$f \
	    tests/fuzz/corpus/$${f#fuzz_}; done
$(BUILD)/fuzz/%: tests/fuzz/%.c $(wire_SRCS:%=wire/%) $(base_SRCS:%=base/%) $(PROTO_HEADERS)
	@mkdir -p $(@D)
	@clang $(filter-out -O2 -Werror -D_FORTIFY_SOURCE=%,$(CFLAGS)) -w -O1 \
	  -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
	  -iquote wire -iquote base -iquote tests/unit -iquote $(BUILD)/proto $< \
	  $(wire_SRCS:%=wire/%) $(base_SRCS:%=base/%) $(PROTO_NAMES:%=$(BUILD)/proto/%.pb-c.c) \
	  $(call pkg_cflags,$(wire_PKGS) $(base_PKGS) cmocka) \
	  $(call pkg_libs,$(wire_PKGS) $(base_PKGS) cmocka) -o $@
