"""Run a named experiment beside the workspace: `python -m experiments NAME [KEY=VALUE ...] [--as OTHER_NAME]`.

An experiment is a file of overrides of params.yaml, experiments/NAME.yaml; further overrides may follow its name. It
becomes a DVC experiment of that name (`dvc exp show`, `dvc exp apply NAME`), or of another given by --as, so that a
twin stands beside it, and its table is printed at the end. With --keep its figures are also written to
metrics/experiments/NAME.json, to be committed, together with the settings that they were made with, and no more is run
than they need: no pictures, sound or export.
"""

import argparse
import json
import os
import subprocess
import sys
from functools import reduce
from pathlib import Path

import dvc.api
import yaml

from ser import params, schema, scores
from ser.errors import InputError
from ser.runtime import replacing, stage

HERE = Path(__file__).parent


def main():
    names = sorted(path.stem for path in HERE.glob("*.yaml"))
    parser = argparse.ArgumentParser("python -m experiments", description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=names)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", type=override, help="of params.yaml")
    parser.add_argument("--as", dest="known_as", metavar="OTHER_NAME", help="keep it by this name instead of NAME")
    parser.add_argument("--keep", action="store_true", help="run no more than metrics/experiments/NAME.json needs")
    arguments = parser.parse_intermixed_args()
    name = arguments.known_as or arguments.name
    changes = asked(arguments.name, arguments.overrides)
    schema.check(merged(params.load(), changes))
    run(name, changes, *(["compare"] if arguments.keep else []))
    details = json.loads(dvc.api.read("metrics/details.json", rev=name))
    if arguments.keep:
        settings = yaml.safe_load(dvc.api.read("params.yaml", rev=name))
        with replacing(f"metrics/experiments/{name}.json") as temporary:
            temporary.write_text(json.dumps(details | {"params": settings}, indent=2) + "\n")
    print(scores.table(details))


def asked(name, overrides):
    """What experiments/NAME.yaml changes in params.yaml, and after it a list of overrides as nested dicts."""
    return reduce(merged, overrides, yaml.safe_load((HERE / f"{name}.yaml").read_text()))


def run(name, changes, *stages):
    """Run the graph, or no more of it than the named stages need, with `changes` to params.yaml, as a DVC experiment
    of that name beside the workspace. An earlier one of the name makes way; what it shares with this one comes back
    from DVC's run cache.

    Raises InputError where Git has a branch or a tag of the name, which DVC would read in the experiment's place.
    """
    for kind in ("heads", "tags"):
        if not subprocess.run(["git", "show-ref", "--quiet", "--verify", f"refs/{kind}/{name}"]).returncode:
            raise InputError(f"Git has a branch or a tag `{name}`, which hides an experiment of that name; rename it")
    dvc_command = [sys.executable, "-m", "dvc", "exp"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([*dvc_command, "remove", "--quiet", name], stderr=subprocess.DEVNULL)
    command = [*dvc_command, "run", "--temp", "--name", name, *stages]
    for key, value in flattened(changes):
        command += ["-S", f"{key}={json.dumps(value)}"]
    done = subprocess.run(command, env=environment)
    if done.returncode:
        sys.exit(done.returncode)


def merged(values, changes):
    """`values` with `changes` in place of what they name; lists and plain values are replaced as a whole."""
    if not (isinstance(values, dict) and isinstance(changes, dict)):
        return changes
    return values | {key: merged(values.get(key), change) for key, change in changes.items()}


def override(text):
    """`a.b=value` as nested dicts, its value read as YAML."""
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: expected KEY=VALUE")
    try:
        change = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: its value is not YAML ({error})") from error
    for part in reversed(key.split(".")):
        change = {part: change}
    return change


def flattened(changes, prefix=""):
    """Pairs of a dotted key and its value."""
    for key, value in changes.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


if __name__ == "__main__":
    stage(main)
