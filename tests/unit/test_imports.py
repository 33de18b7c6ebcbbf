import ast
import subprocess
import sys

import pytest

from tests.helpers.project import ROOT

TRAINING = [
    "training.loop",
    "training.arms",
    "models.baseline",
    "models.backbones.cnn_statistics",
    "generators.diffusion",
    "data.dataset",
    "data.synthetic",
]
UNNEEDED = ["librosa", "soundfile", "soxr", "dvc", "dvclive", "torchvision"]


def loaded(modules, watched, then="pass"):
    program = (
        f"import importlib, importlib.util, sys, ser\n"
        # diffusers would import it; it is only installed for scripts.speech_encoder
        f"find = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, *more: None if name == 'transformers' else find(name, *more)\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        f"{then}\n"
        f"print([name for name in {watched} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return ast.literal_eval(result.stdout)


def test_training_needs_neither_audio_libraries_nor_dvc():
    """A machine that only trains needs PyTorch and the mel store; and stages start quickly."""
    assert loaded([*(f"ser.{name}" for name in TRAINING), "stages.export"], UNNEEDED) == []


def test_pytorch_is_set_up_without_its_compiler():
    """Which takes a second to import, as long as PyTorch."""
    assert loaded(["ser.core.device"], ["torch._dynamo", "torch._inductor"], "ser.core.device.setup_torch()") == []


@pytest.mark.parametrize("stage", ["download", "catalogue", "cache_mels", "split", "compare", "adapt"])
def test_stages_without_networks_start_without_their_libraries(stage):
    assert loaded([f"stages.{stage}"], ["torch", "librosa", "numba", "sklearn", "diffusers"]) == []


LAYERS = ["core", "data", "audio", "corpora", "models", "training", "generators", "evaluation", "reporting"]


def imports(path):
    """Every module, and every name in a module, that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", LAYERS)
def test_a_package_imports_from_the_packages_below_it_alone(package):
    below = LAYERS[: LAYERS.index(package) + 1]
    for path in (ROOT / "ser" / package).rglob("*.py"):
        for name in imports(path):
            if name.startswith("ser."):
                assert name.split(".")[1] in below, f"{path} imports {name}"


def test_every_package_has_its_layer():
    assert {path.parent.name for path in (ROOT / "ser").glob("*/__init__.py")} == set(LAYERS)


def test_no_test_imports_another_one():
    for path in (ROOT / "tests").rglob("*.py"):
        for name in imports(path):
            if name.startswith("tests."):
                module = name.split(".")[1:]
                assert not any(part == "conftest" or part.startswith("test_") for part in module), f"{path}: {name}"
