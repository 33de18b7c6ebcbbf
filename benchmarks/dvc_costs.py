"""What the graph itself costs: a `dvc repro` with nothing to do, what `dvc push` sends, and the imports of every stage.

Run with `python -m benchmarks.dvc_costs` at the root of a clone in which everything is up to date.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from dvc.repo import Repo

from benchmarks import bench

DVC = [str(Path(sys.executable).with_name("dvc"))]
IMPORT = "from time import perf_counter; start = perf_counter(); import stages.{}; print(perf_counter() - start)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the result here as JSON")
    arguments = parser.parse_args()
    if changed := json.loads(output(*DVC, "status", "--json")):
        sys.exit(f"not up to date, so there is nothing to time; run `dvc repro` first: {', '.join(changed)}")
    stages = sorted(path.stem for path in Path("stages").glob("[a-z]*.py"))
    repro = median(bench.alternate({"": lambda: output(*DVC, "repro")}, arguments.rounds)[""])
    objects, size = pushed()
    bench.save(
        arguments.out,
        {
            "what": f"costs of the graph, median of {arguments.rounds}; imports in a fresh interpreter",
            "command": " ".join(["python -m benchmarks.dvc_costs", *sys.argv[1:]]),
            "machine": bench.machine(),
            "versions": bench.versions("dvc"),
            "rows": [
                row("dvc repro with nothing to do", repro, "s"),
                row("objects that dvc push sends", objects, "objects"),
                row("their size", size / 2**20, "MiB"),
                *(row(f"import stages.{name}", imported(name, arguments.rounds), "s") for name in stages),
            ],
        },
    )


def output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def pushed() -> tuple[int, int]:
    """How many different objects `dvc push` sends (each folder is one more), and how many bytes."""
    with Repo(".") as repo:
        outs = {out.hash_info.value: out for out in repo.index.outs if out.use_cache and out.can_push}
        objects = set(outs)
        for out in outs.values():
            if out.hash_info.isdir:
                objects.update(entry.value for _, _, entry in out.get_obj())
        return len(objects), sum(out.meta.size for out in outs.values())


def imported(stage: str, rounds: int) -> float:
    """Seconds that the imports of a stage take."""
    return median(float(output(sys.executable, "-c", IMPORT.format(stage))) for _ in range(rounds))


def row(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "ours": round(value, 3), "other": None, "ratio": None, "floor": None, "unit": unit}


if __name__ == "__main__":
    main()
