"""Several processes at work on one stage, on one machine or on several that share its folder.

`torchrun` deals the stage's folds to its ranks: each rank claims one after the other, and what it finished is gathered
by the next plain run of the stage, that is by `dvc repro`. With the launcher in SER_LAUNCH, a plain run starts it by
itself.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys

from filelock import FileLock, Timeout

from ser.core.errors import InputError

LAUNCH, SUPERVISED = "SER_LAUNCH", "SER_SUPERVISED"
RESTARTS = 2


def launched():
    """Whether this process is a rank of `torchrun`."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextlib.contextmanager
def claim(path, wait):
    """Yield whether this process, and no other, holds the lock file `path`; with `wait`, wait until it does.

    The kernel releases the lock when its holder dies, on shared file systems with flock (NFS 4, Lustre, GPFS) too.
    """
    lock = FileLock(path)
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        yield False
    else:
        try:
            yield True
        finally:
            lock.release()


def launch():
    """Run this stage under the launcher that SER_LAUNCH names, if it names one; return its exit status."""
    if not (launcher := os.environ.get(LAUNCH)):
        return 0
    command = [*shlex.split(launcher), "-m", sys.modules["__main__"].__spec__.name, *sys.argv[1:]]
    try:
        return subprocess.run(command).returncode
    except FileNotFoundError as error:
        raise InputError(f"{LAUNCH}: {error.filename} is not a command here") from None


def supervise():
    """In a rank, go on in a child process, and start it again when it is killed; returns only in the child.

    torchrun ends all ranks when one of them dies. So a rank only watches: what dies is its child, at the cost of the
    fold that it was at.
    """
    if SUPERVISED in os.environ:
        return
    for _ in range(1 + RESTARTS):
        child = subprocess.Popen([sys.executable, *sys.orig_argv[1:]], env={**os.environ, SUPERVISED: "1"})
        signal.signal(signal.SIGTERM, lambda *_, child=child: _stop(child))
        if child.wait() >= 0:
            sys.exit(child.returncode)
        print(f"rank {os.environ['RANK']}: killed by signal {-child.returncode}, starting again", file=sys.stderr)
    sys.exit(f"rank {os.environ['RANK']}: killed {1 + RESTARTS} times (out of memory?)")


def _stop(child):
    child.terminate()
    child.wait()
    sys.exit(128 + signal.SIGTERM)
