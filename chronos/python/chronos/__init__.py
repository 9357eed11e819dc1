"""chronos - fractional, time-limited partitions of the GPUs of one machine.

    from chronos import Partitioner

    with Partitioner().create(device=0, memory=0.5, duration=3600) as p:
        print(p.partition_id, p.time_remaining)

Everything is done by libchronos: $CHRONOS_LIBRARY, or else the libchronos.so.0 that the
loader finds.  Partitions outlive this process unless they are released; leaving a `with`
releases its own.
"""
# SPDX-License-Identifier: Apache-2.0

import ctypes
import decimal
import os
import pwd

__all__ = ["ChronosError", "Device", "Partition", "Partitioner"]

_DEVICES_MAX = 64
_OWNER_CALLER = 2**32 - 1
_NS = 10**9


class _Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("sys", ctypes.c_int), ("text", ctypes.c_char * 256)]


class _Request(ctypes.Structure):
    _fields_ = [
        ("key", ctypes.c_char_p),
        ("devices", ctypes.POINTER(ctypes.c_char_p)),
        ("device_count", ctypes.c_size_t),
        ("hundredths", ctypes.c_uint32),
        ("duration_ns", ctypes.c_uint64),
        ("owner", ctypes.c_uint32),
        ("burst", ctypes.c_bool),
    ]


class _Partition(ctypes.Structure):
    _fields_ = [
        ("id", ctypes.c_char * 16),
        ("key", ctypes.c_char * 128),
        ("owner", ctypes.c_uint32),
        ("hundredths", ctypes.c_uint32),
        ("device_count", ctypes.c_size_t),
        ("devices", ctypes.c_uint32 * _DEVICES_MAX),
        ("memory_bytes", ctypes.c_uint64),
        ("created_ns", ctypes.c_uint64),
        ("expires_ns", ctypes.c_uint64),
        ("left_ns", ctypes.c_uint64),
        ("burst", ctypes.c_bool),
        ("dmem", ctypes.c_bool),
    ]


class _Device(ctypes.Structure):
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
    ]


class _DeviceSpec(ctypes.Structure):
    _fields_ = [("source", ctypes.c_int), ("simulated", ctypes.c_uint32)]


class ChronosError(Exception):
    """What libchronos refused or could not do; `code` is its name: "exhausted", ..."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def _load():
    lib = ctypes.CDLL(os.environ.get("CHRONOS_LIBRARY", "libchronos.so.0"))
    handle, text, error = ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(_Error)
    partition, size = ctypes.POINTER(_Partition), ctypes.POINTER(ctypes.c_size_t)
    device = ctypes.POINTER(_Device)
    number = ctypes.POINTER(ctypes.c_uint32)
    for name, result, arguments in (
        ("open", handle, [text, error]),
        ("close", None, [handle]),
        ("code_name", text, [ctypes.c_int]),
        ("create", ctypes.c_int,
         [handle, ctypes.POINTER(_Request), partition, ctypes.POINTER(ctypes.c_bool), error]),
        ("find", ctypes.c_int, [handle, text, partition, error]),
        ("renew", ctypes.c_int, [handle, text, ctypes.c_uint64, partition, error]),
        ("release", ctypes.c_int, [handle, text, error]),
        ("list", ctypes.c_int, [handle, ctypes.POINTER(partition), size, error]),
        ("partitions_free", None, [partition]),
        ("available", ctypes.c_int, [handle, text, number, error]),
        ("devices", ctypes.c_int, [handle, device, ctypes.c_size_t, size, error]),
        ("devices_parse", ctypes.c_int, [text, ctypes.POINTER(_DeviceSpec), error]),
        ("devices_discover", ctypes.c_int,
         [ctypes.POINTER(_DeviceSpec), device, ctypes.c_size_t, size, error]),
        ("devices_register", ctypes.c_int, [handle, device, ctypes.c_size_t, error]),
        ("share_parse", ctypes.c_int, [text, number, error]),
        ("kind_name", text, [ctypes.c_int]),
    ):  # fmt: skip
        function = getattr(lib, "chronos_" + name)
        function.restype = result
        function.argtypes = arguments
    return lib


_library = None


def _lib():
    global _library
    if _library is None:
        _library = _load()
    return _library


def _failed(error):
    code = _lib().chronos_code_name(error.code).decode()
    return ChronosError(code, error.text.decode(errors="replace"))


def _bytes(text, what):
    raw = str(text).encode()
    if b"\0" in raw:
        raise ChronosError("invalid", f"{what} {text!r} has a NUL in it")
    return raw


def _hundredths(memory):
    """0.5, "0.5" or Decimal("0.5"): at most two places, as the program chronos reads it."""
    error, out = _Error(), ctypes.c_uint32()
    text = format(decimal.Decimal(repr(memory)), "f") if isinstance(memory, float) else memory
    if _lib().chronos_share_parse(_bytes(text, "share"), out, error) < 0:
        raise _failed(error)
    return out.value


def _nanoseconds(seconds):
    try:
        ns = int(decimal.Decimal(str(seconds)) * _NS)
    except (decimal.InvalidOperation, ValueError, OverflowError):
        ns = 0
    if not 0 < ns < 2**64:
        raise ChronosError("invalid", f"a duration is a number of seconds above 0, not {seconds!r}")
    return ns


def _uid(user):
    if user is None:
        return _OWNER_CALLER
    if isinstance(user, int):
        return user
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ChronosError("invalid", f"there is no user {user!r}") from None


class Device:
    """A device as the directory knows it."""

    def __init__(self, raw):
        self.index = raw.index
        self.kind = _lib().chronos_kind_name(raw.kind).decode()
        self.uuid = raw.uuid.decode(errors="replace")
        self.name = raw.name.decode(errors="replace")
        self.pci = raw.pci.decode(errors="replace") or None
        self.memory_bytes = raw.memory_bytes
        self.present = raw.present
        self.available = raw.free_hundredths / 100
        self.draining = raw.draining_hundredths / 100
        self.partitions = raw.partitions

    def __repr__(self):
        return f"<Device {self.index} {self.name!r} {self.available:.0%} available>"


class Partition:
    """A share of one or several devices.  As a context manager it is released at the end."""

    def __init__(self, partitioner, raw):
        self._partitioner = partitioner
        self._take(raw)

    def _take(self, raw):
        self.partition_id = raw.id.decode()
        self.key = raw.key.decode() or None
        self.owner = raw.owner
        self.memory = raw.hundredths / 100
        self.memory_bytes = raw.memory_bytes
        self.devices = list(raw.devices[: raw.device_count])
        self.burst = raw.burst

    @property
    def time_remaining(self):
        """Seconds until it expires; 0 when it has ended."""
        try:
            return self._partitioner._find(self.partition_id).left_ns / _NS
        except ChronosError as e:
            if e.code == "not_found":
                return 0.0
            raise

    def renew(self, duration):
        """Let it expire so many seconds from now."""
        self._take(self._partitioner._renew(self.partition_id, duration))

    def release(self):
        """Give its share back; an error when it has ended already."""
        self._partitioner.release(self.partition_id)

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        try:
            self.release()
        except ChronosError as e:
            if e.code != "not_found":
                raise

    def __repr__(self):
        return f"<Partition {self.partition_id} {self.memory:.0%} of {self.devices}>"


class Partitioner:
    """The partitions kept in a directory: None is $CHRONOS_DIR, or else /run/chronos.

    A directory that knows no devices yet is told which there are: `devices`, as
    `chronos --devices` takes it, "auto" when it is None.
    """

    def __init__(self, directory=None, devices=None):
        self._handle = None
        path = None if directory is None else os.fsencode(directory)
        self._handle = self._call_for_handle("open", path)
        if devices is not None or not self.stats():
            self._register(devices or "auto", may_be_none=devices is None)

    def close(self):
        """Give back the handle; partitions stay."""
        if self._handle:
            _lib().chronos_close(self._handle)
        self._handle = None

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close()

    def __del__(self):
        if getattr(self, "_handle", None):
            self.close()

    def _call_for_handle(self, name, *arguments):
        error = _Error()
        handle = getattr(_lib(), "chronos_" + name)(*arguments, error)
        if not handle:
            raise _failed(error)
        return handle

    def _call(self, name, *arguments):
        if not self._handle:
            raise ChronosError("invalid", "the partitioner is closed")
        error = _Error()
        if getattr(_lib(), "chronos_" + name)(self._handle, *arguments, error) < 0:
            raise _failed(error)

    def _register(self, which, may_be_none):
        error, spec, count = _Error(), _DeviceSpec(), ctypes.c_size_t()
        found = (_Device * _DEVICES_MAX)()
        lib = _lib()
        if (
            lib.chronos_devices_parse(_bytes(which, "devices"), spec, error) < 0
            or lib.chronos_devices_discover(spec, found, _DEVICES_MAX, count, error) < 0
        ):
            raise _failed(error)
        if count.value or not may_be_none:
            self._call("devices_register", found, count)

    def _find(self, name):
        raw = _Partition()
        self._call("find", _bytes(name, "partition"), raw)
        return raw

    def _renew(self, name, duration):
        raw = _Partition()
        self._call("renew", _bytes(name, "partition"), _nanoseconds(duration), raw)
        return raw

    def create(self, device, memory, duration, user=None, *, key=None, burst=False):
        """Take the share `memory` of a device (index or uuid), or of each of a list of
        them, for so many seconds."""
        names = device if isinstance(device, (list, tuple)) else [device]
        devices = (ctypes.c_char_p * max(len(names), 1))(*[_bytes(n, "device") for n in names])
        request = _Request(
            key=None if key is None else _bytes(key, "key"),
            devices=devices,
            device_count=len(names),
            hundredths=_hundredths(memory),
            duration_ns=_nanoseconds(duration),
            owner=_uid(user),
            burst=burst,
        )
        raw = _Partition()
        self._call("create", request, raw, None)
        return Partition(self, raw)

    def list(self):
        """The active partitions, oldest first."""
        raw, count = ctypes.POINTER(_Partition)(), ctypes.c_size_t()
        self._call("list", raw, count)
        try:
            return [Partition(self, raw[i]) for i in range(count.value)]
        finally:
            _lib().chronos_partitions_free(raw)

    def find(self, name):
        """By id, by a prefix of one that fits only one, or by key."""
        return Partition(self, self._find(name))

    def release(self, partition_id):
        """End a partition by id, prefix or key."""
        self._call("release", _bytes(partition_id, "partition"))

    def get_available(self, device):
        """Per cent of a device that can be had now."""
        out = ctypes.c_uint32()
        self._call("available", _bytes(device, "device"), out)
        return float(out.value)

    def stats(self):
        """The devices, and what is taken of each."""
        raw, count = (_Device * _DEVICES_MAX)(), ctypes.c_size_t()
        self._call("devices", raw, _DEVICES_MAX, count)
        return [Device(raw[i]) for i in range(count.value)]
