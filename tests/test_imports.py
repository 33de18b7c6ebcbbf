import subprocess
import sys

from tests.conftest import ROOT

TRAINING = ["training", "arms", "embedding", "generators.diffusion", "study", "synthetic"]
UNNEEDED = ["librosa", "soundfile", "soxr", "dvc", "dvclive"]


def test_training_needs_neither_audio_libraries_nor_dvc():
    """A machine that only trains has PyTorch and the packed mels; and starting a stage stays quick."""
    program = (
        f"import importlib, sys\n"
        f"for name in {TRAINING}: importlib.import_module(f'ser.{{name}}')\n"
        f"print([name for name in {UNNEEDED} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr
