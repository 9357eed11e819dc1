"""_attachment.py - a process in its partition: asks before it allocates and launches."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

from ._library import DRAIN, ChronosError, Joining, call, call_for_handle, function


class Attachment:
    """This process in a partition, on one of its devices, until detach() or its end.

        with partition.attach() as a:
            a.charge(1 << 20)           # before memory is allocated
            with a.launch():            # waits for the partition's turn
                ...                     # the work, which is done at the end of the block
            a.uncharge(1 << 20)         # after it was freed

    Threads share it.  It is not inherited by a forked child, whose calls fail.
    """

    def __init__(self, directory: bytes | None, name: bytes, device: int) -> None:
        self._changed = threading.Condition()
        self._inside = 0  # threads in the library
        self._in_flight = 0  # blocks of work
        self._mine = threading.local()
        self._process = os.getpid()
        # Kept: the library calls it as long as this is attached.
        self._drain = DRAIN(lambda _: self._wait_for_work())
        joining = Joining(dir=directory, name=name, device=device, drain=self._drain)
        self._handle: int | None = call_for_handle("attach", joining)

    def _wait_for_work(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._in_flight == 0)

    @contextlib.contextmanager
    def _handle_inside(self) -> Iterator[int]:
        """The handle, which stays while threads are in the library with it."""
        if os.getpid() != self._process:
            raise ChronosError("not_found", "an attachment is not inherited by a forked process")
        with self._changed:
            if not self._handle:
                raise ChronosError("invalid", "it is detached")
            handle = self._handle
            self._inside += 1
        try:
            yield handle
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def _ask(self, name: str) -> Any:
        with self._handle_inside() as handle:
            return function(name)(handle)

    @property
    def share(self) -> float:
        """Of the device's time."""
        return float(self._ask("hundredths") / 100)

    @property
    def quota_bytes(self) -> int:
        """That all processes of the partition may have of the device together."""
        return int(self._ask("quota"))

    @property
    def used_bytes(self) -> int:
        """That they have now."""
        return int(self._ask("used"))

    def charge(self, size: int) -> None:
        """Before so many bytes are allocated; "exhausted" when the quota has no room."""
        _check_size(size)
        with self._handle_inside() as handle:
            call("charge", handle, size)

    def uncharge(self, size: int) -> None:
        """After bytes that were charged here were freed, or could not be allocated."""
        _check_size(size)
        with self._handle_inside() as handle:
            function("uncharge")(handle, size)

    @contextlib.contextmanager
    def launch(self) -> Iterator[None]:
        """The block is one piece of work: waits for the partition's turn before it, and tells
        that it is done after it, also where it fails.  "not_found": the partition has ended."""
        if getattr(self._mine, "launched", False):
            raise ChronosError("invalid", "a thread launches one piece of work after the other")
        with self._handle_inside() as handle:
            call("launch", handle)
            with self._changed:
                self._in_flight += 1
            self._mine.launched = True
            try:
                yield
            finally:
                self._mine.launched = False
                function("launch_done")(handle, 1)
                with self._changed:
                    self._in_flight -= 1
                    self._changed.notify_all()

    def settle(self) -> None:
        """Pass the turn on if it is over, waiting for work in flight."""
        if getattr(self._mine, "launched", False):
            raise ChronosError("invalid", "work of this thread is in flight")
        with self._handle_inside() as handle:
            function("settle")(handle)

    def detach(self) -> None:
        """Give back its memory and its turn, when the work of all threads is done."""
        if getattr(self._mine, "launched", False):
            raise ChronosError("invalid", "work of this thread is in flight")
        with self._changed:
            handle, self._handle = self._handle, None
            if self._process == os.getpid():
                self._changed.wait_for(lambda: self._inside == 0)
        if handle:
            function("detach")(handle)

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *failure: object) -> None:
        self.detach()

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self.detach()


def _check_size(size: int) -> None:
    if not 0 <= size < 2**64:
        raise ChronosError("invalid", f"{size!r} is no number of bytes")
