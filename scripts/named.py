"""Named experiments: files of overrides of params.yaml, experiments/NAME.yaml, run by DVC beside the workspace."""

import json
import os
import subprocess
import sys
from functools import reduce
from pathlib import Path

import yaml

from scripts.overrides import flattened, merged
from ser.core.errors import InputError

HERE = Path(__file__).parents[1] / "experiments"


def changes_of(name, overrides):
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
