"""All benchmarks, one after the other, and their tables in docs/performance.md.

`python -m benchmarks.run [NAME ...]` takes about 80 minutes on 2 cores; do not use the machine for anything else
meanwhile.
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.measured import run, show, table

NAMES = ["ceilings", "training", "diffusion", "sampling", "mels", "dvc_costs", "cluster", "growth"]
RESULTS, DOCUMENT = Path("benchmarks/results"), Path("docs/performance.md")


def main(names: list[str]) -> None:
    failed = run("benchmarks", {name: [] for name in names or NAMES}, RESULTS)
    show(DOCUMENT, tables(load()))
    if failed:
        sys.exit(f"benchmarks that failed: {', '.join(failed)}")


def load() -> dict[str, Any]:
    """The committed results by name, in the order of NAMES, with the whole study last."""
    paths = [RESULTS / f"{name}.json" for name in [*NAMES, "study"]]
    return {path.stem: json.loads(path.read_text()) for path in paths if path.exists()}


def tables(results: dict[str, Any]) -> str:
    """Markdown: a table of comparisons; behind it single measurements, samples and the study; the machine."""
    rows = [row for result in results.values() for row in result.get("rows", [])]
    parts = [
        table(
            "work | ours | other | ratio | floor | speed of the floor reached",
            [
                [
                    row["name"],
                    _value(row, "ours"),
                    _value(row, "other"),
                    f"{row['ratio']:.1f}",
                    _value(row, "floor"),
                    f"{100 * row['reached']:.0f} %" if row.get("reached") else "",
                ]
                for row in rows
                if row.get("other") is not None
            ],
        ),
        table(
            "single measurement | value",
            [
                [row["name"], _value(row, "ours" if row.get("ours") is not None else "floor")]
                for row in rows
                if row.get("other") is None
            ],
        ),
    ]
    if sampling := results.get("sampling"):
        points = [{"count": 1200, **sampling["default"]}] + [
            {"count": sampling["mels_per_point"], **point} for point in sampling["curve"]
        ]
        parts.append(
            table(
                "sampler | steps | guidance | mels | s per mel | Fréchet distance | recognised as intended",
                [
                    [
                        point["sampler"],
                        point["steps"],
                        point["guidance"],
                        point["count"],
                        f"{point['seconds_per_mel']:.3g}",
                        f"{point['frechet']:.1f}",
                        f"{100 * point['accuracy']:.0f} %",
                    ]
                    for point in points
                ],
            )
        )
    if study := results.get("study"):
        minutes = [[stage, f"{seconds / 60:.1f}"] for stage, seconds in study["seconds"].items()]
        parts.append(table("stage of the study | minutes", [*minutes, ["**all**", f"**{study['minutes']:.1f}**"]]))
    headline, *others = parts
    behind = ["<details markdown>\n<summary>All other measurements</summary>\n", *others, "</details>\n"]
    return "\n".join([headline, *behind, _machine(results)])


def _machine(results: dict[str, Any]) -> str:
    machine = next(iter(results.values()))["machine"]
    versions = {name: version for result in results.values() for name, version in result.get("versions", {}).items()}
    return (
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, Python {machine['python']}, "
        + ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        + ".\n"
    )


def _value(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    return "" if value is None else f"{value:.3g} {row['unit']}" if value < 1000 else f"{value:,.0f} {row['unit']}"


if __name__ == "__main__":
    main(sys.argv[1:])
