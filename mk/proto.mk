# proto.mk - the generated bindings that are committed: Go and Python of orchestrator.proto.
#
# The C bindings are made at build time (proto/module.mk).  One pinned protoc, the one inside
# grpcio-tools, writes both languages, so the files do not depend on the machine.

PROTOC_GEN_GO_VERSION      := v1.36.11
PROTOC_GEN_GO_GRPC_VERSION := v1.6.2
GRPCURL_VERSION            := v1.9.3
INTEROP_VERSION            := v1.79.3

VENV   := build/venv
TOOLS  := build/tools
PROTOC := $(VENV)/bin/python -m grpc_tools.protoc
GO_PROTO     ?= orchestrator/proto
PYTHON_PROTO ?= sdk/proto

.PHONY: install-proto-tools proto proto-go proto-python clean-proto check-proto

# Debian's own Python: whichever else is in PATH may be gone tomorrow.
PYTHON3 := $(firstword $(wildcard /usr/bin/python3) python3)
$(VENV)/.made: tests/requirements.txt
	@echo "  venv    $(VENV)"
	@$(PYTHON3) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

go_install = mkdir -p $(TOOLS) && echo "  go      $1@$2" && \
  GOBIN=$(CURDIR)/$(TOOLS) go install $1@$2 && touch $@
$(TOOLS)/protoc-gen-go: mk/proto.mk
	@$(call go_install,google.golang.org/protobuf/cmd/protoc-gen-go,$(PROTOC_GEN_GO_VERSION))
$(TOOLS)/protoc-gen-go-grpc: mk/proto.mk
	@$(call go_install,google.golang.org/grpc/cmd/protoc-gen-go-grpc,$(PROTOC_GEN_GO_GRPC_VERSION))
$(TOOLS)/grpcurl: mk/proto.mk
	@$(call go_install,github.com/fullstorydev/grpcurl/cmd/grpcurl,$(GRPCURL_VERSION))
$(TOOLS)/interop_client: mk/proto.mk
	@$(call go_install,google.golang.org/grpc/interop/client,$(INTEROP_VERSION))
	@mv $(TOOLS)/client $@
$(TOOLS)/h2spec: tests/h2spec/go.mod tests/h2spec/go.sum
	@mkdir -p $(@D)
	@echo "  go      h2spec"
	@go build -C $(<D) -o $(CURDIR)/$@ github.com/summerwind/h2spec/cmd/h2spec && touch $@

install-proto-tools: ## what `make proto` needs, in pinned versions (Debian, Ubuntu, macOS)
	@case "$$(uname -s)" in \
	Linux) scripts/setup.sh proto ;; \
	Darwin) command -v brew >/dev/null || { echo "install-proto-tools: needs Homebrew" >&2; exit 1; }; \
	  for p in protobuf protobuf-c python3 go; do \
	    brew list --versions $$p >/dev/null || brew install $$p; done ;; \
	*) echo "install-proto-tools: only Debian, Ubuntu and macOS are known" >&2; exit 1 ;; \
	esac
	@command -v go >/dev/null || { echo "install-proto-tools: needs Go 1.24 or newer" \
	  "(https://go.dev/dl); Debian 12's is too old" >&2; exit 1; }
	@$(MAKE) --no-print-directory $(VENV)/.made $(TOOLS)/protoc-gen-go $(TOOLS)/protoc-gen-go-grpc

proto: proto-go proto-python ## write the committed Go and Python bindings again

proto-go: $(VENV)/.made $(TOOLS)/protoc-gen-go $(TOOLS)/protoc-gen-go-grpc ## only Go
	@mkdir -p $(GO_PROTO)
	@PATH="$(CURDIR)/$(TOOLS):$$PATH" $(PROTOC) --proto_path=proto \
	  --go_out=$(GO_PROTO) --go_opt=paths=source_relative \
	  --go-grpc_out=$(GO_PROTO) --go-grpc_opt=paths=source_relative orchestrator.proto

# protoc's Python plug-in imports its sibling as a top-level module; ours lies in a package.
proto-python: $(VENV)/.made ## only Python
	@mkdir -p $(PYTHON_PROTO)
	@$(PROTOC) --proto_path=proto --python_out=$(PYTHON_PROTO) \
	  --grpc_python_out=$(PYTHON_PROTO) orchestrator.proto
	@sed -i.before 's/^import orchestrator_pb2 as/from . import orchestrator_pb2 as/' \
	  $(PYTHON_PROTO)/orchestrator_pb2_grpc.py
	@rm -f $(PYTHON_PROTO)/orchestrator_pb2_grpc.py.before
	@printf '%s\n' '"""Generated from proto/orchestrator.proto by `make proto-python`."""' \
	  > $(PYTHON_PROTO)/__init__.py

clean-proto: ## remove the generated bindings; `make proto` brings them back
	rm -f orchestrator/proto/orchestrator.pb.go orchestrator/proto/orchestrator_grpc.pb.go
	rm -f sdk/proto/orchestrator_pb2.py sdk/proto/orchestrator_pb2_grpc.py sdk/proto/__init__.py

check-proto: $(VENV)/.made ## are the committed bindings what `make proto` would write?
	@scripts/check_proto.sh
