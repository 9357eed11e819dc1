# start.py - runs harness.py, from its compiled form where this Python can read that.
# SPDX-License-Identifier: Apache-2.0
"""Compiling the harness would cost every job half as much again as Python's own start."""

import marshal
from _frozen_importlib_external import MAGIC_NUMBER

HEAD = 16  # bytes of a .pyc before its code
__file__ = "/opt/cumulus/harness.py"


def load():
    try:
        with open(__file__ + "c", "rb") as f:
            compiled = f.read()
        if compiled[:4] == MAGIC_NUMBER:
            return marshal.loads(compiled[HEAD:])
    except OSError:
        pass  # none was installed
    with open(__file__, "rb") as f:
        return compile(f.read(), __file__, "exec")


exec(load())
