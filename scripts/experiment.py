"""Run a named experiment next to the workspace: `python -m scripts.experiment NAME [KEY=VALUE ...] [--as OTHER_NAME]`.

NAME is a file of experiments/, experiments/study/ or experiments/replications/, or a member of a series there; further
overrides of params.yaml may follow. It becomes a DVC experiment of that name (`dvc exp show`, `dvc exp apply NAME`), or
of another name given by --as, so that a variant can stand next to it. At the end its table is printed. With --keep, its
metrics and the settings they were measured with are also written to metrics/experiments/NAME.json, to be committed, and
only what they need is run: no pictures, sound or export.
"""

import argparse
import json
from functools import reduce
from pathlib import Path

import dvc.api

from scripts import copies, kept_metrics, named
from scripts.overrides import merged, override
from ser.core import params, preconditions
from ser.core.stage import stage
from ser.reporting import tables


def main() -> None:
    """Run the experiment that the command line names, and print its table."""
    experiments = named.experiments()
    parser = argparse.ArgumentParser("python -m scripts.experiment", description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=experiments, metavar="NAME", help=", ".join(experiments))
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", type=override, help="of params.yaml")
    parser.add_argument("--as", dest="known_as", metavar="OTHER_NAME", help="keep it by this name instead of NAME")
    parser.add_argument("--keep", action="store_true", help="run no more than metrics/experiments/NAME.json needs")
    arguments = parser.parse_intermixed_args()
    preconditions.check_clone(Path.cwd())
    from ser import schema  # which loads PyTorch

    name = arguments.known_as or arguments.name
    changes = reduce(merged, arguments.overrides, experiments[arguments.name].changes)
    schema.check(merged(params.load(), changes))
    copies.run(name, changes, *(["compare"] if arguments.keep else []))
    details = json.loads(dvc.api.read("metrics/details.json", rev=name))
    if arguments.keep:
        settings = params.parse(dvc.api.read("params.yaml", rev=name), f"params.yaml of {name}")
        kept_metrics.write(kept_metrics.EXPERIMENTS / f"{name}.json", details | {"params": settings})
    print(tables.table(details))
    app = "" if arguments.keep else f"`python -m app {name}` shows and plays it, "  # which needs its pictures and model
    print(f"\nNext: {app}`dvc exp show` compares it with other experiments.")


if __name__ == "__main__":
    stage(main)
