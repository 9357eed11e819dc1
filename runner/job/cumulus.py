# cumulus.py - what a job can say to Cumulus; found by `import cumulus` inside a job.
# SPDX-License-Identifier: Apache-2.0
"""Functions for code that runs as a Cumulus job.  They need no requirement.

Outside a job they do nothing: the same file can be tried anywhere.
"""

import os as _os
import struct as _struct

__all__ = ["progress", "should_pause", "job_dir", "job_id"]

_FD = 3
_TEXT_MAX = 1000


def _inside():
    return "CUMULUS_JOB_DIR" in _os.environ and "JOB_ID" in _os.environ


def progress(fraction, message=""):
    """Say how far the job is, 0.0 to 1.0, and in a few words with what."""
    fraction = float(fraction)
    if not 0.0 <= fraction <= 1.0:
        raise ValueError("fraction must be 0.0 to 1.0, not %r" % fraction)
    if not isinstance(message, str):
        raise TypeError("message must be str, not %s" % type(message).__name__)
    if not _inside():
        return
    text = message.encode("utf-8", "replace")[:_TEXT_MAX]
    try:
        _os.write(_FD, b"P" + _struct.pack("<d", fraction) + text)
    except OSError:
        pass  # a child process without the channel: only the job's own may report


def should_pause():
    """True once the job was asked to pause: save what is needed and return from main()."""
    if not _inside():
        return False
    import select

    poll = select.poll()
    try:
        poll.register(_FD, select.POLLIN)
        return bool(poll.poll(0))
    except OSError:
        return False


def job_dir():
    """A folder of the job's own that may be written to."""
    return _os.environ.get("CUMULUS_JOB_DIR", _os.getcwd())


def job_id():
    """The job's id, "" outside a job."""
    return _os.environ.get("JOB_ID", "")
