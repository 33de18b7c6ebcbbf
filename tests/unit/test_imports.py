import ast
import subprocess
import sys

import pytest

from tests.helpers.project import ROOT

TRAINING = [
    "training.loop",
    "training.arms",
    "models.baseline",
    "generators.diffusion",
    "data.dataset",
    "data.synthetic",
]
UNNEEDED = ["librosa", "soundfile", "soxr", "dvc", "dvclive"]


def loaded(modules, watched):
    program = (
        f"import importlib, sys\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        f"print([name for name in {watched} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return ast.literal_eval(result.stdout)


def test_training_needs_neither_audio_libraries_nor_dvc():
    """A machine that only trains has PyTorch and the packed mels; and starting a stage stays quick."""
    assert loaded([*(f"ser.{name}" for name in TRAINING), "stages.export"], UNNEEDED) == []


@pytest.mark.parametrize("stage", ["download", "catalogue", "cache_mels", "split", "compare"])
def test_stages_without_networks_start_without_their_libraries(stage):
    assert loaded([f"stages.{stage}"], ["torch", "librosa", "numba", "sklearn", "diffusers"]) == []
