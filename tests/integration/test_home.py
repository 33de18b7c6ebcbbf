"""Nothing is written outside the repository but known caches, and nothing is sent."""

import os
import subprocess
import sys
from pathlib import Path

from tests.helpers.project import ROOT

CACHES = {"matplotlib", ".matplotlib", "fontconfig"}  # of fonts
EXPORT = """
import torch
from pathlib import Path
from ser import Recogniser
from stages.export import write_onnx
from tests.helpers import toy_model
folder = toy_model.export(Path("export"))
network = Recogniser.load(folder).network
write_onnx(network, 80 * torch.rand(5, toy_model.N_MELS, toy_model.FRAMES) - 80, folder / "model.onnx")
"""


def left(home):
    """Files in a home folder that belong to no known cache."""
    files = [path.relative_to(home) for path in home.rglob("*") if not path.is_dir()]
    return [path for path in files if not CACHES & set(path.parts)]


def test_the_graph_leaves_nothing_in_the_home_folder_and_calls_nobody(project):
    assert left(project.parent / "home") == []
    assert not (project.parent / "witnessed.tsv.network").exists()


def export(folder):
    """Export a model to ONNX in a process whose home folder is `folder`/home; return what that process left there."""
    home = folder / "home"
    home.mkdir()
    environment = os.environ | {"HOME": str(home), "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": ""}
    command = [sys.executable, "-c", EXPORT]
    subprocess.run(command, cwd=folder, env=environment | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
    assert Path(folder, "export/model.onnx").exists()
    return left(home)


def test_an_export_leaves_nothing_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")  # which `ser` has set in this process
    assert export(tmp_path) == []


def test_the_switch_is_set_by_the_package_unless_the_user_has_set_it(monkeypatch):
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    command = [sys.executable, "-c", "import ser, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"]
    for environment, expected in [({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")]:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | environment, check=True, capture_output=True, text=True
        )
        assert done.stdout.strip() == expected
