"""Run a named experiment beside the workspace: `python -m scripts.experiment NAME [KEY=VALUE ...] [--as OTHER_NAME]`.

An experiment is a file of overrides of params.yaml, experiments/NAME.yaml; further overrides may follow its name. It
becomes a DVC experiment of that name (`dvc exp show`, `dvc exp apply NAME`), or of another given by --as, so that a
twin stands beside it, and its table is printed at the end. With --keep its figures are also written to
metrics/experiments/NAME.json, to be committed, together with the settings that they were made with, and no more is run
than they need: no pictures, sound or export.
"""

import argparse
import json

import dvc.api
import yaml

from scripts import named
from scripts.overrides import merged, override
from ser import schema
from ser.core import params
from ser.core.atomic import replacing
from ser.core.stage import stage
from ser.reporting import tables


def main():
    names = sorted(path.stem for path in named.HERE.glob("*.yaml"))
    parser = argparse.ArgumentParser("python -m scripts.experiment", description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=names)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", type=override, help="of params.yaml")
    parser.add_argument("--as", dest="known_as", metavar="OTHER_NAME", help="keep it by this name instead of NAME")
    parser.add_argument("--keep", action="store_true", help="run no more than metrics/experiments/NAME.json needs")
    arguments = parser.parse_intermixed_args()
    name = arguments.known_as or arguments.name
    changes = named.changes_of(arguments.name, arguments.overrides)
    schema.check(merged(params.load(), changes))
    named.run(name, changes, *(["compare"] if arguments.keep else []))
    details = json.loads(dvc.api.read("metrics/details.json", rev=name))
    if arguments.keep:
        settings = yaml.safe_load(dvc.api.read("params.yaml", rev=name))
        with replacing(f"metrics/experiments/{name}.json") as temporary:
            temporary.write_text(json.dumps(details | {"params": settings}, indent=2) + "\n")
    print(tables.table(details))


if __name__ == "__main__":
    stage(main)
