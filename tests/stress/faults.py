"""Faults in every stage of the graph, at the smallest size.

Each stage is struck by a fault. Then `dvc repro` has to complete and to leave exactly the files of an undisturbed run,
byte for byte.

`python -m tests.stress.faults --out FILE [--seed N] [--each N] [--storms N]`; cases that are in FILE already are kept.
"""

import argparse
import hashlib
import json
import os
import queue
import random
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import yaml

from benchmarks import measured
from tests.helpers import project

SABOTAGE = project.ROOT / "tests/stress/sabotage"
FAULTS = {
    "killed at a change of a file": "kill",
    "killed with DVC at a moment": signal.SIGKILL,
    "terminated with DVC at a moment": signal.SIGTERM,
    "disk full from a change of a file on": "disk",
    "disk full in the middle of a file": "limit",
    "out of memory at a change of a file": "memory",
}
IGNORED = (".git", ".dvc", "__pycache__", "logs", "results")  # results: of benchmarks and of this


def undisturbed(folder):
    """A copy of the repository in which the whole graph ran; next to it, `notes` says how much each stage changed."""
    notes = folder.parent / "notes"
    notes.mkdir(parents=True)
    copy = project.copy_of_the_repository(folder)
    project.repro(copy, **plan(notes, kind="count"))
    project.commit(copy)
    return copy


def counted(folder):
    """`{stage: {"changes": number, "seconds": time}}` of the undisturbed run."""
    stages = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    notes = {path.name: json.loads(path.read_text()) for path in sorted((folder.parent / "notes").iterdir())}
    del notes["begun"]
    return {name if name in stages else name.partition("@")[0]: facts for name, facts in notes.items()}


def plan(notes, **harm):
    return {"PYTHONPATH": str(SABOTAGE), "SABOTAGE": json.dumps({"notes": str(notes), **harm})}


def contents(folder):
    """`{path: sha256}` of all files, and the values of dvc.lock, whose order depends on which stage ran last."""
    files = [path for path in folder.rglob("*") if path.is_file() and not set(IGNORED) & set(path.parts)]
    digests = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return digests | {"dvc.lock": yaml.safe_load((folder / "dvc.lock").read_text())}


def damaged_cache(folder):
    """Files of DVC's cache whose content does not match their name."""
    cache = folder / ".dvc/cache/files/md5"
    return [
        str(path)
        for path in cache.glob("??/*")
        if hashlib.md5(path.read_bytes()).hexdigest() != path.parent.name + path.name.removesuffix(".dir")
    ]


def largest(folder, stage):
    """Bytes of the largest file that a stage wrote, at least 1."""
    outputs = yaml.safe_load((folder / "dvc.lock").read_text())["stages"][stage]["outs"]
    places = [folder / output["path"] for output in outputs]
    files = [path for place in places for path in [place, *place.rglob("*")] if path.is_file()]
    return max([1, *(path.stat().st_size for path in files)])


def forget(folder, stage):
    """Let DVC run `stage` again: remove it from dvc.lock and from the run cache."""
    lock = yaml.safe_load((folder / "dvc.lock").read_text())
    del lock["stages"][stage]
    (folder / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
    for path in sorted((folder / ".dvc/cache/runs").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def strike(folder, stage, fault, rng, count):
    """Run `stage` under a fault drawn by `rng`, then `dvc repro`; return what happened."""
    kind, expected = FAULTS[fault], contents(folder)
    size = largest(folder, stage)
    forget(folder, stage)
    with tempfile.TemporaryDirectory() as notes:
        if isinstance(kind, signal.Signals):
            at, harm = rng.uniform(0, count["seconds"]), {"kind": "wait"}
        else:
            at = rng.randrange(size) if kind == "limit" else rng.randint(1, count["changes"])
            harm = {"kind": kind, "at": at}
        running = start(folder, "-s", stage, **plan(notes, **harm))
        if isinstance(kind, signal.Signals):
            wait_for(Path(notes, "begun"), running)
            time.sleep(at)
            with suppress(ProcessLookupError):  # it was quicker
                os.killpg(running.pid, kind)
        printed, _ = running.communicate()
        happened = Path(notes, "happened")
        place = json.loads(happened.read_text())["path"] if happened.exists() else None
    return {
        "stage": stage,
        "fault": fault,
        "at": round(at, 3),
        "place": place,
        "struck": running.returncode != 0,
        "said": last_line(printed),
        **recovery(folder, expected),
    }


def start(folder, *arguments, **environment):
    return subprocess.Popen(
        ["dvc", "repro", *arguments],
        cwd=folder,
        env=project.ENVIRONMENT | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait_for(path, running):
    while not path.exists() and running.poll() is None:
        time.sleep(0.01)


def last_line(printed):
    """The last line that the stage printed, before those of DVC; empty if it printed nothing."""
    before = printed.partition("ERROR: failed to reproduce")[0].strip().splitlines()
    return before[-1] if before and not before[-1].startswith(">") else ""


def recovery(folder, expected):
    """Whether `dvc repro` completes, which files then differ from `expected`, and whether it needed a remedy."""
    status, printed = outcome(start(folder))
    if needed := remedy(folder, printed):
        status, printed = outcome(start(folder))
    return {
        "completed": status == 0,
        "remedy": needed,
        "printed": printed[-2000:] if status else "",
        **difference(folder, expected),
    }


def outcome(running):
    printed, _ = running.communicate()
    return running.returncode, printed


def remedy(folder, printed):
    """Repair as docs/reliability.md says a file that DVC writes in place; return which one was cut off, or None."""
    if "Unable to read RWLock-file" in printed:
        (folder / ".dvc/tmp/rwlock").unlink()
        return ".dvc/tmp/rwlock"
    if "dvc.lock' validation failed" in printed or "dvc.lock' is invalid" in printed:
        subprocess.run(["git", "checkout", "-q", "dvc.lock"], cwd=folder, check=True)
        return "dvc.lock"
    return None


def difference(folder, expected):
    actual = contents(folder)
    return {
        "different": sorted(path for path in actual.keys() | expected if actual.get(path) != expected.get(path)),
        "cache": damaged_cache(folder),
    }


def storm(folder, rng, expected, mean=15.0):
    """Run the whole graph from nothing, stopped again and again until it is complete.

    It is stopped by SIGKILL or SIGTERM after random times with a mean of `mean` seconds.
    """
    copy, stops, remedies = project.copy_of_the_repository(folder), 0, []
    while True:
        running = start(copy)
        try:
            printed, _ = running.communicate(timeout=2 + rng.expovariate(1 / mean))
        except subprocess.TimeoutExpired:
            stops += 1
            os.killpg(running.pid, rng.choice([signal.SIGKILL, signal.SIGTERM]))
            running.communicate()
            continue
        if running.returncode == 0 or not (needed := remedy(copy, printed)):
            break
        remedies.append(needed)
    return {
        "stops": stops,
        "completed": running.returncode == 0,
        "remedies": remedies,
        "printed": printed[-2000:] if running.returncode else "",
        **difference(copy, expected),
    }


def survived(case):
    return case["completed"] and not case["different"] and not case["cache"]


def main():
    parser = argparse.ArgumentParser("python -m tests.stress.faults", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=1, help="strikes of each fault in each stage")
    parser.add_argument("--storms", type=int, default=2, help="runs of the whole graph that are stopped")
    arguments = parser.parse_args()
    result = {"seed": arguments.seed, "strikes": [], "storms": []}
    if arguments.out.exists() and (before := json.loads(arguments.out.read_text()))["seed"] == arguments.seed:
        result = before  # go on with the missing cases
    finished = {(case["number"], case["stage"], case["fault"]) for case in result["strikes"]}
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(undisturbed, [Path(place, name, "project") for name in ("one", "two")]))
        free, counts, expected = queue.SimpleQueue(), counted(folders[0]), contents(folders[0])
        for folder in folders:
            free.put(folder)

        def one(case):
            number, stage, fault = case
            folder = free.get()
            try:
                struck = strike(folder, stage, fault, random.Random(f"{arguments.seed}-{case}"), counts[stage])
            finally:
                free.put(folder)
            return {"number": number, **struck}

        def again(number):
            return storm(Path(place, f"storm{number}"), random.Random(f"{arguments.seed}-{number}"), expected)

        cases = [(number, stage, fault) for number in range(arguments.each) for stage in counts for fault in FAULTS]
        for case in pool.map(one, [case for case in cases if case not in finished]):
            print(json.dumps(case), flush=True)
            result["strikes"].append(case)
            measured.write(arguments.out, result)
            if not survived(case):
                pool.shutdown(cancel_futures=True)
                raise SystemExit("error: not survived, and what is left is no project to strike again")
        for case in pool.map(again, range(len(result["storms"]), arguments.storms)):
            print(json.dumps(case), flush=True)
            result["storms"].append(case)
            measured.write(arguments.out, result)
    failed = [case for case in [*result["strikes"], *result["storms"]] if not survived(case)]
    print(f"{len(result['strikes'])} faults, {len(result['storms'])} storms, {len(failed)} not survived")
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
