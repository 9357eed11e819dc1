# harness.py - calls main() of the job's main.py and tells the runner what came of it.
# SPDX-License-Identifier: Apache-2.0
"""Started as `python3 -I -S -B start.py ARGS...` by cumulus-init, as the job's own user.

Everything imported here is paid by every job before its first line: only modules that are
built into the interpreter.  What a failure needs is imported when there is one.

Packets to the runner (fd 3, SOCK_SEQPACKET), first byte the kind:
    M               main() is about to be called
    S bytes         the next part of the success document
    F bytes         the next part of the failure document
    E               the document is complete
    I bytes         a result that JSON cannot hold: the message; followed by F ... E
    P f64 bytes     progress, sent by the module cumulus
Nothing here is a secret or a wall: it runs inside the job, which can send what it likes.
"""

import sys
import posix
import time

FD = 3
PART = 32768  # bytes of one packet
SOURCE = "/job/src"
TRACEBACK_MAX = 60000
PACKAGES = (
    "/usr/local/lib/python%d.%d/dist-packages" % sys.version_info[:2],
    "/usr/lib/python3/dist-packages",
)
STDLIB_PATH = list(sys.path)
JOB_PID = posix.getpid()


def send(kind, data=b""):
    if posix.getpid() == JOB_PID:  # a forked child that comes back here speaks for nobody
        posix.write(FD, kind + data)


def send_document(kind, text):
    data = text.encode("utf-8", "backslashreplace")
    for at in range(0, len(data), PART):
        send(kind, data[at : at + PART])
    send(b"E")


def refuse_type(value):
    kind = type(value)
    raise TypeError("%s.%s" % (kind.__module__, kind.__qualname__))


def fast_encoder():
    """json's own core without json, which costs 8 ms; None where Python changed it."""
    try:
        from _json import encode_basestring_ascii, make_encoder

        return make_encoder(
            {}, refuse_type, encode_basestring_ascii, None, ": ", ", ", False, False, False
        )
    except (ImportError, TypeError):
        return None


def encode(value):
    """JSON text of value; only ASCII."""
    encoder = fast_encoder()
    if encoder is not None:
        return "".join(encoder(value, 0))
    sys.path[:] = STDLIB_PATH + sys.path
    import json

    return json.dumps(value, default=refuse_type, allow_nan=False)


def explain_unfit(error):
    """Why a result is no JSON, in one line."""
    text = safe_text(error)
    if isinstance(error, TypeError):
        if text.startswith("keys must be"):
            return "main() returned a dict with a key that JSON cannot hold: " + text
        return "main() returned a value that JSON cannot hold: " + text
    if text.startswith("Circular"):
        return "main() returned a value that JSON cannot hold: it contains itself"
    if isinstance(error, RecursionError):
        return "main() returned a value that JSON cannot hold: it is nested too deeply"
    if isinstance(error, ValueError) and text.startswith("Exceeds the limit"):
        return "main() returned an int that JSON cannot hold: " + text
    if isinstance(error, ValueError):
        return "main() returned a value that JSON cannot hold: a float that is NaN or infinite"
    return "main()'s result could not be encoded: %s: %s" % (type(error).__name__, text)


def safe_text(error):
    try:
        return str(error)
    except BaseException as inner:
        return "<its str() raised %s>" % type(inner).__name__


def user_traceback(tb):
    """Without the frames of this file at its start."""
    while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
        tb = tb.tb_next
    return tb


def plain_traceback(error, tb):
    """What is left when the traceback module cannot be had."""
    lines = ["Traceback (most recent call last):\n"]
    while tb is not None:
        code = tb.tb_frame.f_code
        lines.append(
            '  File "%s", line %d, in %s\n' % (code.co_filename, tb.tb_lineno, code.co_name)
        )
        tb = tb.tb_next
    lines.append("%s: %s\n" % (type(error).__name__, safe_text(error)))
    return "".join(lines)


def format_traceback(error):
    tb = user_traceback(error.__traceback__)
    try:
        sys.path[:] = STDLIB_PATH + sys.path
        import traceback

        text = "".join(traceback.format_exception(type(error), error, tb))
    except BaseException:
        text = plain_traceback(error, tb)
    if len(text) > TRACEBACK_MAX:
        half = TRACEBACK_MAX // 2
        text = text[:half] + "\n  [...]\n" + text[-half:]
    return text


def system_info():
    return {
        "python": "%d.%d.%d" % sys.version_info[:3],
        "platform": sys.platform,
        "machine": posix.uname().machine,
        "cpus": posix.cpu_count(),
        "gpu_devices": posix.environ.get(b"GPU_DEVICE", b"").decode("ascii", "replace"),
    }


def tail(began):
    return ', "execution_time": %.6f, "timestamp": %.6f, "system_info": %s}' % (
        time.monotonic() - began,
        time.time(),
        encode(system_info()),
    )


def plain(text):
    """Without halves of surrogate pairs: whoever reads the document may refuse them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def fail(error_type, message, traceback, began):
    """Send the failure document and end with status 1, as Python itself would."""
    flush()
    send_document(
        b"F",
        '{"status": "error", "error": %s, "error_type": %s, "traceback": %s%s'
        % (encode(plain(message)), encode(plain(error_type)), encode(plain(traceback)), tail(began)),
    )
    sys.exit(1)


def fail_with(error, began):
    text = format_traceback(error)
    sys.stderr.write(text)
    fail(type(error).__name__, safe_text(error), text, began)


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass


def load_main():
    """The module `main`: importable under that name, as pickle and spawn need it."""
    path = SOURCE + "/main.py"
    with open(path, "rb") as f:
        source = f.read()
    code = compile(source, path, "exec", dont_inherit=True)
    module = type(sys)("main")
    module.__file__ = path
    module.__builtins__ = __builtins__
    sys.modules["main"] = module
    exec(code, module.__dict__)
    return module


def prepare():
    import builtins

    sys.argv[0] = SOURCE + "/main.py"
    sys.path[:] = [SOURCE] + STDLIB_PATH + ["/opt/cumulus/lib"]
    environment = "/env/lib/python%d.%d/site-packages" % sys.version_info[:2]
    try:
        posix.stat(environment)
        sys.path.append(environment)
    except OSError:
        pass
    # Behind all else: looked at only by an import that nothing before it had.
    sys.path.extend(PACKAGES)
    builtins.exit = builtins.quit = sys.exit
    sys.stdout.reconfigure(line_buffering=True)
    posix.set_inheritable(FD, False)
    fast_encoder()  # every job needs it: loaded now, when there are descriptors


def run():
    began = time.monotonic()
    prepare()
    try:
        module = load_main()
        main = getattr(module, "main", None)
        if not callable(main):
            message = "main.py does not define a function main()"
            sys.stderr.write(message + "\n")
            fail("AttributeError", message, "", began)
        send(b"M")
        began = time.monotonic()
        value = main()
    except SystemExit:
        raise  # before main() returned: the runner sees the status and no document
    except BaseException as error:
        fail_with(error, began)
    try:
        text = encode(value)
    except BaseException as error:
        message = explain_unfit(error)
        sys.stderr.write(message + "\n")
        send(b"I", message.encode("utf-8", "backslashreplace")[:1000])
        fail("TypeError", message, "", began)
    flush()
    send_document(b"S", '{"status": "success", "result": %s%s' % (text, tail(began)))


if __name__ == "__main__":
    run()
