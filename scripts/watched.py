"""A run of DVC as one line of progress, with all that it prints in a log."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from dvc.repo import Repo

from ser.cluster import needed
from ser.core.stage import progress

STAGE = re.compile(r"(?:Running stage|Stage) '([^']+)'")  # it is run, or skipped, or taken from the cache
SHOWN = 15  # lines of the log where the run fails


def run(command: Sequence[str], environment: Mapping[str, str], name: str, total: int | None) -> int:
    """Run a command of DVC that goes through `total` stages, and return its status; its log is logs/NAME.log."""
    log = Path(f"logs/{name}.log")
    log.parent.mkdir(exist_ok=True)
    seen: set[str] = set()
    with (
        log.open("w") as kept,
        progress(name=name, unit="stage", total=total) as bar,
        subprocess.Popen(
            command,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as running,
    ):
        for line in running.stdout or ():
            kept.write(line)
            kept.flush()
            if (found := STAGE.match(line)) and found[1] not in seen:
                bar.update(len(seen) - bar.n)  # those before are finished
                seen.add(found[1])
                bar.set_postfix_str(found[1])
                if bar.disable:
                    print(f"{name}: stage {len(seen)}{f' of {total}' if total else ''}, {found[1]}", flush=True)
        status = running.wait()
        bar.update((len(seen) if status == 0 else len(seen) - 1) - bar.n)
    if status:
        print(*log.read_text(errors="replace").splitlines()[-SHOWN:], f"error: see {log}", sep="\n")
    return status


def n_stages(targets: Sequence[str]) -> int:
    """How many stages of the workspace's dvc.yaml `targets` are, with those that they need; without targets, all."""
    with Repo() as repo:
        return len(needed(repo, targets))
