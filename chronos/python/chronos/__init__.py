"""chronos - fractional, time-limited partitions of the GPUs of one machine.

    from chronos import Partitioner

    with Partitioner().create(device=0, memory=0.5, duration=3600) as p:
        print(p.partition_id, p.time_remaining)

Everything is done by libchronos: $CHRONOS_LIBRARY, or else the libchronos.so.0 that the
loader finds.  Partitions outlive this process unless they are released; leaving a `with`
releases its own.  A Partitioner may be used by several threads, and goes on working in a
forked child; only close() it when no thread uses it any more.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import ctypes
import decimal
import os
import pwd
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, List, Union

from ._attachment import Attachment
from ._library import (
    DEVICES_MAX,
    OWNER_CALLER,
    ChronosError,
    DeviceSpec,
    Error,
    RawDevice,
    RawPartition,
    RawUsage,
    Request,
    call,
    call_for_handle,
    failure,
    function,
)

__all__ = ["Attachment", "ChronosError", "Device", "Partition", "Partitioner", "Usage"]

_NS = 10**9
# What may stand for a device: its index or its uuid.
_Name = Union[int, str]
_Number = Union[int, float, str, decimal.Decimal]


def _bytes(text: object, what: str) -> bytes:
    raw = str(text).encode()
    if b"\0" in raw:
        raise ChronosError("invalid", f"{what} {text!r} has a NUL in it")
    return raw


def _hundredths(memory: _Number) -> int:
    """0.5, "0.5" or Decimal("0.5"): at most two places, as the program chronos reads it."""
    error, out = Error(), ctypes.c_uint32()
    # The shortest text that is this float, also of one that NumPy made.
    text = (
        format(decimal.Decimal(float.__repr__(memory)), "f")
        if isinstance(memory, float)
        else memory
    )
    if function("share_parse")(_bytes(text, "share"), out, error) < 0:
        raise failure(error)
    return out.value


def _nanoseconds(seconds: _Number) -> int:
    try:
        ns = int(decimal.Decimal(str(seconds)) * _NS)
    except (decimal.InvalidOperation, ValueError, OverflowError):
        ns = 0
    if not 0 < ns < 2**64:
        raise ChronosError("invalid", f"a duration is a number of seconds above 0, not {seconds!r}")
    return ns


def _uid(user: int | str | None) -> int:
    if user is None:
        return OWNER_CALLER
    if isinstance(user, int):
        if not 0 <= user < OWNER_CALLER:
            raise ChronosError("invalid", f"{user} is no user's number")
        return user
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ChronosError("invalid", f"there is no user {user!r}") from None


@dataclass(frozen=True)
class Device:
    """A device as the directory knows it."""

    index: int
    kind: str  # "nvidia", "mig", "opencl", "opencl-cpu", "simulated"
    uuid: str
    name: str
    pci: str | None
    instance: str | None  # of a MIG device: which one of its GPU, "gi1/ci0"
    memory_bytes: int
    present: bool  # False: it was there once, and takes no partition
    available: float  # the share that can be had now
    draining: float  # the share of memory of partitions that have ended
    partitions: int  # active ones


@dataclass(frozen=True)
class Usage:
    """What a partition has of one of its devices."""

    device: int
    processes: int | None  # that joined and live; None: looking would take too long
    quota_bytes: int
    used_bytes: int | None  # of those
    time: float  # seconds of the device that it had
    refusals: int  # of allocations
    overruns: int  # leases after whose end it still had work in flight
    overrun_time: float  # seconds past their ends, all together
    enforcement: str  # "arbitrated" or "cooperative" once it can be joined, else "off"


def _device(raw: RawDevice) -> Device:
    return Device(
        index=raw.index,
        kind=function("kind_name")(raw.kind).decode(),
        uuid=raw.uuid.decode(errors="replace"),
        name=raw.name.decode(errors="replace"),
        pci=raw.pci.decode(errors="replace") or None,
        instance=raw.instance.decode(errors="replace") or None,
        memory_bytes=raw.memory_bytes,
        present=raw.present,
        available=raw.free_hundredths / 100,
        draining=raw.draining_hundredths / 100,
        partitions=raw.partitions,
    )


class Partition:
    """A share of one or several devices.  As a context manager it is released at the end."""

    partition_id: str
    key: str | None
    owner: int  # user id
    memory: float  # the share of memory and of time, of each device
    memory_bytes: int  # summed over its devices
    devices: list[int]  # their indices
    burst: bool

    def __init__(self, partitioner: Partitioner, raw: RawPartition) -> None:
        self._partitioner = partitioner
        self._take(raw)

    def _take(self, raw: RawPartition) -> None:
        self.partition_id = raw.id.decode()
        self.key = raw.key.decode() or None
        self.owner = raw.owner
        self.memory = raw.hundredths / 100
        self.memory_bytes = raw.memory_bytes
        self.devices = list(raw.devices[: raw.device_count])
        self.burst = raw.burst

    @property
    def time_remaining(self) -> float:
        """Seconds until it expires; 0 when it has ended."""
        try:
            return float(self._partitioner._find(self.partition_id).left_ns / _NS)
        except ChronosError as e:
            if e.code == "not_found":
                return 0.0
            raise

    def renew(self, duration: _Number) -> None:
        """Let it expire so many seconds from now."""
        self._take(self._partitioner._renew(self.partition_id, duration))

    def release(self) -> None:
        """Give its share back; an error when it has ended already."""
        self._partitioner.release(self.partition_id)

    def usage(self) -> list[Usage]:
        """What it has of each of its devices."""
        return self._partitioner._usage(self.partition_id)

    def attach(self, device: int | None = None) -> Attachment:
        """Hold this process to the partition, on one device: the first where it is None.

        For programs whose work is not OpenCL's or CUDA's; those are held by
        `chronos run` without being changed."""
        return Attachment(
            self._partitioner._directory,
            self.partition_id.encode(),
            self.devices[0] if device is None else device,
        )

    def __enter__(self) -> Partition:
        return self

    def __exit__(self, *failure: object) -> None:
        try:
            self.release()
        except ChronosError as e:
            if e.code != "not_found":
                raise

    def __repr__(self) -> str:
        return f"<Partition {self.partition_id} {self.memory:.0%} of {self.devices}>"


class Partitioner:
    """The partitions kept in a directory: None is $CHRONOS_DIR, or else /run/chronos.

    A directory that knows no devices yet is told which there are: `devices`, as
    `chronos --devices` takes it, "auto" when it is None.
    """

    def __init__(
        self, directory: str | os.PathLike[str] | None = None, devices: str | None = None
    ) -> None:
        self._handle: int | None = None
        self._directory = None if directory is None else os.fsencode(directory)
        self._handle = call_for_handle("open", self._directory)
        if devices is not None or not self.stats():
            self._register(devices or "auto", may_be_none=devices is None)

    def close(self) -> None:
        """Give back the handle; partitions stay."""
        handle, self._handle = self._handle, None
        if handle:
            function("close")(handle)

    def __enter__(self) -> Partitioner:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self.close()

    def _call(self, name: str, *arguments: Any) -> None:
        if not self._handle:
            raise ChronosError("invalid", "the partitioner is closed")
        call(name, self._handle, *arguments)

    def _register(self, which: str, may_be_none: bool) -> None:
        spec, count = DeviceSpec(), ctypes.c_size_t()
        found = (RawDevice * DEVICES_MAX)()
        call("devices_parse", _bytes(which, "devices"), spec)
        call("devices_discover", spec, found, DEVICES_MAX, count)
        if count.value or not may_be_none:
            self._call("devices_register", found, count)

    def _find(self, name: str) -> RawPartition:
        raw = RawPartition()
        self._call("find", _bytes(name, "partition"), raw)
        return raw

    def _renew(self, name: str, duration: _Number) -> RawPartition:
        raw = RawPartition()
        self._call("renew", _bytes(name, "partition"), _nanoseconds(duration), raw)
        return raw

    def _usage(self, name: str) -> List[Usage]:
        partition, raw, found = self._find(name), RawUsage(), []
        for device in partition.devices[: partition.device_count]:
            self._call("usage", partition, device, raw)
            found.append(
                Usage(
                    device=raw.device,
                    processes=None if raw.uncounted else raw.clients,
                    quota_bytes=raw.quota_bytes,
                    used_bytes=None if raw.uncounted else raw.used_bytes,
                    time=raw.time_ns / _NS,
                    refusals=raw.refusals,
                    overruns=raw.overruns,
                    overrun_time=raw.overrun_ns / _NS,
                    enforcement=raw.enforcement.decode(),
                )
            )
        return found

    def create(
        self,
        device: _Name | Iterable[_Name],
        memory: _Number,
        duration: _Number,
        user: int | str | None = None,
        *,
        key: str | None = None,
        burst: bool = False,
    ) -> Partition:
        """Take the share `memory` of a device (index or uuid), or of each of several, all or
        none, for so many seconds.

        With a key, the partition that this user has by that key is found again.  With burst
        it may use time that nobody else wants.  user: for another one, as root."""
        several = isinstance(device, Iterable) and not isinstance(device, str)
        names = [*device] if several else [device]  # type: ignore[misc]
        devices = (ctypes.c_char_p * max(len(names), 1))(*[_bytes(n, "device") for n in names])
        request = Request(
            key=None if key is None else _bytes(key, "key"),
            devices=devices,
            device_count=len(names),
            hundredths=_hundredths(memory),
            duration_ns=_nanoseconds(duration),
            owner=_uid(user),
            burst=burst,
        )
        raw = RawPartition()
        self._call("create", request, raw, None)
        return Partition(self, raw)

    def find(self, name: str) -> Partition:
        """By id, by a prefix of one that fits only one, or by key."""
        return Partition(self, self._find(name))

    def release(self, partition_id: str) -> None:
        """End a partition by id, prefix or key."""
        self._call("release", _bytes(partition_id, "partition"))

    def get_available(self, device: _Name) -> float:
        """Per cent of a device that can be had now."""
        out = ctypes.c_uint32()
        self._call("available", _bytes(device, "device"), out)
        return float(out.value)

    def stats(self) -> List[Device]:
        """The devices, and what is taken of each."""
        raw, count = (RawDevice * DEVICES_MAX)(), ctypes.c_size_t()
        self._call("devices", raw, DEVICES_MAX, count)
        return [_device(raw[i]) for i in range(count.value)]

    def list(self) -> List[Partition]:
        """The active partitions, oldest first."""
        raw, count = ctypes.POINTER(RawPartition)(), ctypes.c_size_t()
        self._call("list", raw, count)
        try:
            return [Partition(self, raw[i]) for i in range(count.value)]
        finally:
            function("partitions_free")(raw)
