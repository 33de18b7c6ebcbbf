"""Imported by every Python process with this folder on its PYTHONPATH: harms the stage that SABOTAGE describes.

SABOTAGE is JSON: `notes`, a folder to report to; `kind`, one of `count`, `kill`, `disk`, `memory`, `limit` and `wait`;
`at`, the change to a file in FOLDERS at which it happens, counted from 1, or for `limit` the largest size of a file in
bytes.
"""

import atexit
import errno
import json
import os
import resource
import signal
import sys
import time

FOLDERS = ("data", "metrics", "models", "plots")
CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir"}
REMOVALS = {"os.remove", "os.rmdir"}


def changed(event, arguments):
    """The path below FOLDERS that an audit event is about to change, or None."""
    writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if not (writes or event in CHANGES) or not isinstance(arguments[0], str | os.PathLike):
        return None
    path = os.path.relpath(arguments[0])
    return path if path.split(os.sep)[0] in FOLDERS else None


def sabotage(notes, kind, at=0):
    begun, changes = time.monotonic(), 0

    def report(name, **facts):
        with open(os.path.join(notes, name), "w") as file:
            json.dump(facts, file)

    def watch(event, arguments):
        nonlocal changes
        path = changed(event, arguments)
        if path is None:
            return
        changes += 1
        if kind == "count" or changes < at:
            return
        if changes == at:
            report("happened", path=path)
            if kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if kind == "memory":
                raise MemoryError
        if kind == "disk" and event not in REMOVALS:  # it stays full
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    if kind == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))
    else:
        sys.addaudithook(watch)
    if kind == "count":
        name = " ".join(sys.orig_argv).partition("stages.")[2].replace(" ", "@")
        atexit.register(lambda: report(name, changes=changes, seconds=time.monotonic() - begun))
    report("begun", pid=os.getpid())


if "SABOTAGE" in os.environ and any(word.startswith("stages.") for word in sys.orig_argv):
    sabotage(**json.loads(os.environ["SABOTAGE"]))
