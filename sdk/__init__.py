"""Cumulus for Python. The bindings of the wire format are in sdk.proto."""
