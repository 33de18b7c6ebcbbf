"""Several processes that share the folds of one stage, on one machine or on several with a common folder.

`torchrun` starts the stage as several ranks. Each rank claims one unfinished fold after the other; the next plain run
of the stage, for instance by `dvc repro`, gathers the results. If SER_LAUNCH holds the command of a launcher, a plain
run starts it by itself.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ser.core.errors import InputError

LAUNCH, SUPERVISED = "SER_LAUNCH", "SER_SUPERVISED"
RESTARTS = 2


def launched() -> bool:
    """Whether this process is a rank of `torchrun`."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextlib.contextmanager
def claim(path: Path, wait: bool) -> Iterator[bool]:
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


def launch() -> int:
    """Run this stage under the launcher in SER_LAUNCH, if there is one, and return its exit status."""
    if not (launcher := os.environ.get(LAUNCH)):
        return 0
    spec = sys.modules["__main__"].__spec__
    assert spec is not None, "stages are run with python -m"
    try:
        return subprocess.run([*shlex.split(launcher), "-m", spec.name, *sys.argv[1:]], check=False).returncode
    except FileNotFoundError as error:
        raise InputError(f"{LAUNCH}: {error.filename} is not a command here") from None


def supervise() -> None:
    """Continue a rank in a child process, and start the child again when it is killed. Returns only in the child.

    torchrun ends all ranks when one of them dies. Therefore a rank only watches its child: if the child is killed,
    nothing but the fold that it was working on is lost.
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


def _stop(child: subprocess.Popen) -> None:
    child.terminate()
    child.wait()
    sys.exit(128 + signal.SIGTERM)
