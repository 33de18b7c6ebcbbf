"""All benchmarks, one after the other in one process tree, and their table in docs/performance.md.

`python -m benchmarks [NAME ...]`, about 20 minutes on 2 cores; leave the machine alone meanwhile.
"""

import json
import subprocess
import sys
from pathlib import Path

from ser.runtime import replacing

NAMES = ["mels", "training", "diffusion", "sampling", "dvc_costs", "growth", "ranks", "scheduler"]
RESULTS, DOCUMENT = Path("benchmarks/results"), Path("docs/performance.md")
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


def main(names):
    for name in names or NAMES:
        print(f"benchmark {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--out", RESULTS / f"{name}.json"], check=True)
    text = DOCUMENT.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    with replacing(DOCUMENT) as temporary:
        temporary.write_text(before + BEGIN + tables(load()) + END + after)


def load():
    """The committed results by name, in the order of NAMES; the whole study last."""
    paths = [RESULTS / f"{name}.json" for name in [*NAMES, "study"]]
    return {path.stem: json.loads(path.read_text()) for path in paths if path.exists()}


def tables(results):
    """Markdown: a table of what is compared with another way, then what stands alone."""
    lines = ["| work | ours | other | ratio | floor | of the floor |", "|---|--:|--:|--:|--:|--:|"]
    for result in results.values():
        for row in result.get("rows", []):
            if row.get("other") is not None:
                lines.append(_row(row))
    lines += ["", "| alone | measured | floor |", "|---|--:|--:|"]
    for result in results.values():
        for row in result.get("rows", []):
            if row.get("other") is None:
                lines.append(f"| {row['name']} | {_figure(row, 'ours')} | {_figure(row, 'floor')} |")
    if "scheduler" in results:
        lines += ["", "| units | ranks | losses | claimed | dealt beforehand | all start anew |", "|--:|--:|--:|--:|--:|--:|"]
        lines += ["| " + " | ".join(map(str, case.values())) + " |" for case in results["scheduler"]["cases"]]
    if "study" in results:
        seconds = results["study"]["seconds"]
        lines += ["", "| stage of the study | minutes |", "|---|--:|"]
        lines += [f"| {stage} | {value / 60:.1f} |" for stage, value in seconds.items()]
        lines += [f"| all | {results['study']['minutes']:.1f} |"]
    first = next(iter(results.values()))
    machine = first["machine"]
    versions = {}
    for result in results.values():
        versions |= result.get("versions", {})
    lines += ["", f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, Python {machine['python']}, "
              + ", ".join(f"{name} {version}" for name, version in sorted(versions.items())) + "."]
    return "\n".join(lines) + "\n"


def _row(row):
    cells = [row["name"], *(_figure(row, key) for key in ("ours", "other")), f"{row['ratio']:.1f}", _figure(row, "floor")]
    reached = row.get("reached")
    return "| " + " | ".join([*cells, "" if reached is None else f"{100 * reached:.0f} %"]) + " |"


def _figure(row, key):
    value = row.get(key)
    return "" if value is None else f"{value:.3g} {row['unit']}" if value < 1000 else f"{value:,.0f} {row['unit']}"


if __name__ == "__main__":
    main(sys.argv[1:])
