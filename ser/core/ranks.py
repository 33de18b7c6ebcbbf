"""Several processes at work on one stage, on one machine or on several that share its folder.

`torchrun` deals the stage's units over its ranks: each rank claims one after the other, and what it finished is
gathered by the next plain run of the stage, that is by `dvc repro`. `accelerate launch` lets all ranks train every
unit together instead, data-parallel. With the launcher in SER_LAUNCH, a plain run starts it by itself.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys

import torch
from filelock import FileLock, Timeout

from ser.core.errors import InputError

LAUNCH, SUPERVISED = "SER_LAUNCH", "SER_SUPERVISED"
RESTARTS = 2


def launched():
    """Whether this process is a rank of `torchrun`, which `accelerate launch` uses too."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def together():
    """Whether it is a rank of `accelerate launch`."""
    return launched() and "ACCELERATE_MIXED_PRECISION" in os.environ


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
    unit that it was at.
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


def data_parallel(model, optimiser, batch):
    """Under `accelerate launch`, `model` and `optimiser` that average gradients over the ranks, and this rank's part of
    a batch of `batch` as a slice; in a single process all three are what they were."""
    if not together():
        return model, optimiser, slice(None)
    from accelerate import Accelerator

    # Autocast is the caller's, as in a single process.
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no")
    if batch % accelerator.num_processes:
        raise InputError(f"a batch of {batch} cannot be shared equally by {accelerator.num_processes} ranks")
    model, optimiser = accelerator.prepare(model, optimiser)
    return model, optimiser, slice(accelerator.process_index, None, accelerator.num_processes)


def is_first():
    return os.environ.get("RANK", "0") == "0"


def barrier():
    """Wait for the other ranks of `accelerate launch`."""
    from accelerate import PartialState

    PartialState().wait_for_everyone()
