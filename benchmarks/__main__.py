"""All benchmarks, one after the other in one process tree, and their table in docs/performance.md.

`python -m benchmarks [NAME ...]`, about 20 minutes on 2 cores; leave the machine alone meanwhile.
"""

import json
import subprocess
import sys
from pathlib import Path

from ser.runtime import replacing

NAMES = ["ceilings", "training", "diffusion", "sampling", "mels", "dvc_costs", "scheduler", "ranks", "growth"]
RESULTS, DOCUMENT = Path("benchmarks/results"), Path("docs/performance.md")
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


def main(names):
    failed = []
    for name in names or NAMES:
        print(f"benchmark {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", "--out", RESULTS / f"{name}.json"]
        if subprocess.run(command).returncode:
            failed.append(name)
    text = DOCUMENT.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    with replacing(DOCUMENT) as temporary:
        temporary.write_text(before + BEGIN + tables(load()) + END + after)
    if failed:
        sys.exit(f"benchmarks that failed: {', '.join(failed)}")


def load():
    """The committed results by name, in the order of NAMES; the whole study last."""
    paths = [RESULTS / f"{name}.json" for name in [*NAMES, "study"]]
    return {path.stem: json.loads(path.read_text()) for path in paths if path.exists()}


def tables(results):
    """Markdown: what is compared with another way, what stands alone, quality of samples, the scheduler, the study."""
    rows = [row for result in results.values() for row in result.get("rows", [])]
    parts = [
        _table(
            "work | ours | other | ratio | floor | speed of the floor reached",
            [[row["name"], _figure(row, "ours"), _figure(row, "other"), f"{row['ratio']:.1f}", _figure(row, "floor"),
              f"{100 * row['reached']:.0f} %" if row.get("reached") else ""]
             for row in rows if row.get("other") is not None],
        ),
        _table(
            "measured alone | figure",
            [[row["name"], _figure(row, "ours" if row.get("ours") is not None else "floor")]
             for row in rows if row.get("other") is None],
        ),
    ]
    if sampling := results.get("sampling"):
        points = [{"count": 1200, **sampling["default"]}] + [
            {"count": sampling["mels a point"], **point} for point in sampling["curve"]
        ]
        parts.append(_table(
            "sampler | steps | guidance | mels | s a mel | Fréchet distance | recognised as meant",
            [[point["sampler"], point["steps"], point["guidance"], point["count"], f"{point['seconds a mel']:.3g}",
              f"{point['frechet']:.1f}", f"{100 * point['accuracy']:.0f} %"] for point in points],
        ))
    if scheduler := results.get("scheduler"):
        parts.append(_table(" | ".join(scheduler["cases"][0]), [case.values() for case in scheduler["cases"]]))
    if study := results.get("study"):
        minutes = [[stage, f"{seconds / 60:.1f}"] for stage, seconds in study["seconds"].items()]
        parts.append(_table("stage of the study | minutes", [*minutes, ["**all**", f"**{study['minutes']:.1f}**"]]))
    parts.append(_machine(results))
    return "\n".join(parts)


def _table(header, rows):
    columns = header.count("|") + 1
    lines = [header, "|".join(["---"] + ["--:"] * (columns - 1)), *(" | ".join(map(str, row)) for row in rows)]
    return "".join(f"| {line} |\n" for line in lines)


def _machine(results):
    machine = next(iter(results.values()))["machine"]
    versions = {name: version for result in results.values() for name, version in result.get("versions", {}).items()}
    return (
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, Python {machine['python']}, "
        + ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        + ".\n"
    )


def _figure(row, key):
    value = row.get(key)
    return "" if value is None else f"{value:.3g} {row['unit']}" if value < 1000 else f"{value:,.0f} {row['unit']}"


if __name__ == "__main__":
    main(sys.argv[1:])
