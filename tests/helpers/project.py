"""A copy of this repository, set to the smallest experiment, for tests that run the graph."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from scripts.overrides import merged
from ser.core import params

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "OMP_NUM_THREADS": "1",  # the same bytes whatever the machine, and several projects at a time
}
# Loaded by every Python process of the first run: notes which files of data/, models/ and metrics/ each stage reads,
# and connections beyond this machine.
WITNESS = """
import os, sys
def network(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in ("127.0.0.1", "::1"):
        with open(os.environ["WITNESSED"] + ".network", "a") as notes:
            print(*sys.orig_argv, arguments[1], file=notes)
sys.addaudithook(network)
def witness(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
        path = os.path.relpath(os.path.abspath(arguments[0]))
        if path.split(os.sep)[0] in ("data", "models", "metrics") and not os.path.isdir(path):
            with open(os.environ["WITNESSED"], "a") as notes:
                print(*sys.orig_argv[2:], path, sep="\\t", file=notes)
if "stages." in " ".join(sys.orig_argv):
    sys.addaudithook(witness)
"""


def call(*command, cwd, **environment):
    completed = subprocess.run(command, cwd=cwd, env=ENVIRONMENT | environment, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout + completed.stderr


def repro(project, *arguments, **environment):
    """Run the graph and return the names of the stages that ran."""
    return set(re.findall(r"Running stage '([^']+)'", call("dvc", "repro", *arguments, cwd=project, **environment)))


def change(project, changes):
    path = project / "params.yaml"
    path.write_text(yaml.safe_dump(merged(params.load(path), changes), sort_keys=False))


def copy_of_the_repository(folder, experiment="tiny"):
    """A repository of its own with the files of this one, set to an experiment, the smallest by default."""
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True)
    for name in filter(lambda name: (ROOT / name).is_file(), listed.splitlines()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink()  # of other params
    path = ROOT / "experiments" / f"{experiment}.yaml"
    change(folder, params.parse(path.read_text(), path)["changes"])
    call("git", "init", "-q", cwd=folder)
    commit(folder)
    return folder


def commit(project):
    call("git", "add", "-A", cwd=project)
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    call("git", *identity, "commit", "-qm", "test", "--allow-empty", cwd=project)
