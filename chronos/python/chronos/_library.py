"""_library.py - libchronos by ctypes: its structures, its functions, its errors."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import ctypes
import os
from typing import Any

DEVICES_MAX = 64
OWNER_CALLER = 2**32 - 1
# Of the structures below, which change with it.
VERSION = "0.1"


class ChronosError(Exception):
    """What libchronos refused or could not do; `code` is its name: "exhausted", ..."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return ChronosError, (self.code, str(self))


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("sys", ctypes.c_int), ("text", ctypes.c_char * 256)]


class Request(ctypes.Structure):
    _fields_ = [
        ("key", ctypes.c_char_p),
        ("devices", ctypes.POINTER(ctypes.c_char_p)),
        ("device_count", ctypes.c_size_t),
        ("hundredths", ctypes.c_uint32),
        ("duration_ns", ctypes.c_uint64),
        ("owner", ctypes.c_uint32),
        ("burst", ctypes.c_bool),
    ]


class RawPartition(ctypes.Structure):
    _fields_ = [
        ("id", ctypes.c_char * 16),
        ("key", ctypes.c_char * 128),
        ("owner", ctypes.c_uint32),
        ("hundredths", ctypes.c_uint32),
        ("device_count", ctypes.c_size_t),
        ("devices", ctypes.c_uint32 * DEVICES_MAX),
        ("memory_bytes", ctypes.c_uint64),
        ("created_ns", ctypes.c_uint64),
        ("expires_ns", ctypes.c_uint64),
        ("left_ns", ctypes.c_uint64),
        ("burst", ctypes.c_bool),
        ("dmem", ctypes.c_bool),
    ]


class RawDevice(ctypes.Structure):
    _fields_ = [
        ("index", ctypes.c_uint32),
        ("kind", ctypes.c_int),
        ("uuid", ctypes.c_char * 96),
        ("name", ctypes.c_char * 96),
        ("memory_bytes", ctypes.c_uint64),
        ("present", ctypes.c_bool),
        ("free_hundredths", ctypes.c_uint32),
        ("partitions", ctypes.c_uint32),
        ("draining_hundredths", ctypes.c_uint32),
        ("pci", ctypes.c_char * 24),
        ("instance", ctypes.c_char * 16),
    ]


class RawUsage(ctypes.Structure):
    _fields_ = [
        ("device", ctypes.c_uint32),
        ("clients", ctypes.c_uint32),
        ("uncounted", ctypes.c_bool),
        ("quota_bytes", ctypes.c_uint64),
        ("used_bytes", ctypes.c_uint64),
        ("time_ns", ctypes.c_uint64),
        ("refusals", ctypes.c_uint64),
        ("overruns", ctypes.c_uint64),
        ("overrun_ns", ctypes.c_uint64),
        ("enforcement", ctypes.c_char_p),
    ]


class DeviceSpec(ctypes.Structure):
    _fields_ = [("source", ctypes.c_int), ("simulated", ctypes.c_uint32)]


DRAIN = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Joining(ctypes.Structure):
    _fields_ = [
        ("dir", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("device", ctypes.c_uint32),
        ("drain", DRAIN),
        ("arg", ctypes.c_void_p),
    ]


def _open() -> ctypes.CDLL:
    name = os.environ.get("CHRONOS_LIBRARY", "libchronos.so.0")
    try:
        lib = ctypes.CDLL(name)
    except OSError as e:
        raise ChronosError(
            "unavailable",
            f"{e}: install Chronos (after that, as root: ldconfig), or let CHRONOS_LIBRARY "
            "name its libchronos.so.0",
        ) from None
    lib.chronos_version.restype = ctypes.c_char_p
    version = lib.chronos_version().decode()
    if not version.startswith(VERSION + "."):
        raise ChronosError(
            "unavailable", f"{name} is version {version}, this module is for {VERSION}"
        )
    return lib


def _load() -> ctypes.CDLL:
    lib = _open()
    handle, text, error = ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(Error)
    partition, size = ctypes.POINTER(RawPartition), ctypes.POINTER(ctypes.c_size_t)
    device, number = ctypes.POINTER(RawDevice), ctypes.POINTER(ctypes.c_uint32)
    functions: tuple[tuple[str, Any, list[Any]], ...] = (
        ("open", handle, [text, error]),
        ("close", None, [handle]),
        ("code_name", text, [ctypes.c_int]),
        ("create", ctypes.c_int,
         [handle, ctypes.POINTER(Request), partition, ctypes.POINTER(ctypes.c_bool), error]),
        ("find", ctypes.c_int, [handle, text, partition, error]),
        ("renew", ctypes.c_int, [handle, text, ctypes.c_uint64, partition, error]),
        ("release", ctypes.c_int, [handle, text, error]),
        ("list", ctypes.c_int, [handle, ctypes.POINTER(partition), size, error]),
        ("partitions_free", None, [partition]),
        ("usage", ctypes.c_int,
         [handle, partition, ctypes.c_uint32, ctypes.POINTER(RawUsage), error]),
        ("available", ctypes.c_int, [handle, text, number, error]),
        ("devices", ctypes.c_int, [handle, device, ctypes.c_size_t, size, error]),
        ("devices_parse", ctypes.c_int, [text, ctypes.POINTER(DeviceSpec), error]),
        ("devices_discover", ctypes.c_int,
         [ctypes.POINTER(DeviceSpec), device, ctypes.c_size_t, size, error]),
        ("devices_register", ctypes.c_int, [handle, device, ctypes.c_size_t, error]),
        ("share_parse", ctypes.c_int, [text, number, error]),
        ("kind_name", text, [ctypes.c_int]),
        ("attach", handle, [ctypes.POINTER(Joining), error]),
        ("detach", None, [handle]),
        ("hundredths", ctypes.c_uint32, [handle]),
        ("quota", ctypes.c_uint64, [handle]),
        ("used", ctypes.c_uint64, [handle]),
        ("charge", ctypes.c_int, [handle, ctypes.c_uint64, error]),
        ("uncharge", None, [handle, ctypes.c_uint64]),
        ("launch", ctypes.c_int, [handle, error]),
        ("launch_done", None, [handle, ctypes.c_uint32]),
        ("settle", None, [handle]),
    )  # fmt: skip
    for name, result, arguments in functions:
        function = getattr(lib, "chronos_" + name)
        function.restype = result
        function.argtypes = arguments
    return lib


_library: ctypes.CDLL | None = None


def library() -> ctypes.CDLL:
    """Loaded when it is first needed, so that importing the module always succeeds."""
    global _library
    if _library is None:
        _library = _load()
    return _library


def function(name: str) -> Any:
    return getattr(library(), "chronos_" + name)


def failure(error: Error) -> ChronosError:
    code = function("code_name")(error.code).decode()
    return ChronosError(code, error.text.decode(errors="replace"))


def call(name: str, *arguments: Any) -> None:
    """One that answers 0 or -1."""
    error = Error()
    if function(name)(*arguments, error) < 0:
        raise failure(error)


def call_for_handle(name: str, *arguments: Any) -> int:
    error = Error()
    handle: int | None = function(name)(*arguments, error)
    if not handle:
        raise failure(error)
    return handle
