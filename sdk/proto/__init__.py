"""Generated from proto/orchestrator.proto by `make proto-python`."""
