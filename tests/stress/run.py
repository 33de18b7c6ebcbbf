"""All stress tests, one part after the other, and their tables in docs/reliability.md.

`python -m tests.stress.run [PART ...]`, about an hour on 2 cores.
"""

import json
import sys
from collections import Counter
from pathlib import Path

from benchmarks.measured import run, show, table
from tests.stress import faults

PARTS = {
    "faults": [],
    "fuzz": ["--examples", "1000"],
    "properties": ["--times", "10"],
    "determinism": [],
}
RESULTS, DOCUMENT = Path("tests/stress/results"), Path("docs/reliability.md")
SURVIVED = {True: "the same bytes", False: "**not** the same bytes"}


def main(parts):
    failed = run("tests.stress", {part: PARTS[part] for part in parts or PARTS}, RESULTS)
    show(DOCUMENT, tables(load()))
    if failed:
        sys.exit(f"not passed: {', '.join(failed)}")


def load():
    return {part: json.loads((RESULTS / f"{part}.json").read_text()) for part in PARTS}


def tables(results):
    """Markdown: faults by kind, storms, hostile input, properties, determinism."""
    strikes, storms = results["faults"]["strikes"], results["faults"]["storms"]
    stages = {case["stage"] for case in strikes}
    rows = []
    for fault in faults.FAULTS:
        cases = [case for case in strikes if case["fault"] == fault]
        said = Counter(case["said"].partition(";")[0].partition(" while ")[0] for case in cases if case["struck"])
        rows.append(
            [
                fault,
                len(cases),
                sum(case["struck"] for case in cases),
                sum(map(faults.survived, cases)),
                said.most_common(1)[0][0] if any(said) else "",
            ]
        )
    parts = [
        f"### Faults in each of {len(stages)} stages\n",
        table("fault | injected | stopped the stage | survived | most frequent message of the stage", rows),
        f"Seed {results['faults']['seed']}. Survived: `dvc repro` then completes, and every file is that "
        "of an undisturbed run, byte for byte, there are no others, and DVC's cache is intact. A fault that did not "
        "stop its stage came too late, or hit a file that was not needed.\n",
        f"{sum(case['remedy'] is not None for case in strikes)} of them needed a remedy first, for a file of DVC's own "
        "that was cut off (see above).\n",
        *(
            f"The whole graph from nothing, stopped by SIGKILL or SIGTERM {storm['stops']} times until it was "
            f"complete: {SURVIVED[faults.survived(storm)]}, {len(storm['remedies'])} remedies.\n"
            for storm in storms
        ),
        "### Hostile and broken input\n",
        table(
            "what is read | inputs | read | refused | memory, MiB",
            [
                [name, target["read"] + target["refused"], target["read"], target["refused"], target["memory MiB"]]
                for name, target in results["fuzz"]["targets"].items()
            ],
        ),
        "Each target runs in a process that may use 2 GiB beyond its modules. Memory: the most that it used beyond "
        "them.\n",
        "### Properties of the evaluation\n",
        table(
            "property | random cases",
            [[f"`{name}`", f"{count:,}"] for name, count in results["properties"]["drawn"].items()],
        ),
        table(
            "simulated studies of known truth | studies | true UA inside the 95 % interval | difference found where "
            "there is none (p ≤ 0.05)",
            [
                [
                    f"{runs} run{'s'[: runs > 1]}",
                    f"{results['properties']['studies']:,}",
                    f"{100 * simulated['coverage']:.1f} %",
                    f"{100 * simulated['false alarms']:.1f} %",
                ]
                for runs, simulated in ((5, results["properties"]), (1, results["properties"]["one run"]))
            ],
        ),
        "### Determinism\n",
        table(
            "same seed, but | bytes | largest difference of a probability | clips recognised differently | UA",
            [
                [
                    name,
                    "the same" if circumstance["same bytes"] else "different",
                    circumstance["probability"],
                    f"{circumstance['other emotion']} of {circumstance['clips']}",
                    f"{100 * circumstance['ua']:+.1f} points",
                ]
                for name, circumstance in results["determinism"].items()
            ],
        ),
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    main(sys.argv[1:])
