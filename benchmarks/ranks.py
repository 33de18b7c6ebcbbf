"""Units side by side: a stage of four folds in one process that uses all cores, against ranks of one thread each."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from benchmarks import bench
from ser.data import manifest, mel_store, splits

ROOT = Path(__file__).parents[1]
FOLDS, CLIPS, EPOCHS = 4, 288, 8


def main():
    """Time `stages.train` on generated mels both ways, in turn; return the result."""
    cores = bench.machine()["cores"]
    launcher = f"{sys.executable} -m torch.distributed.run --nproc-per-node {cores}"  # torchrun
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder))

        def train(**environment):
            subprocess.run(
                [sys.executable, "-m", "stages.train", "baseline"],
                check=True,
                cwd=folder,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            )

        runs = bench.in_turn(
            {
                "one process": lambda: bench.timed(train)[1],
                "ranks": lambda: bench.timed(lambda: train(SER_LAUNCH=launcher))[1],
            },
            rounds=1,
        )
    (alone,), (ranks,) = runs.values()
    return {
        "what": f"training {FOLDS} folds of ResNet-18: `torchrun --nproc-per-node {cores}`, a thread each, against one "
        f"process of {cores} threads; interpreter start included",
        "versions": bench.versions("torch"),
        "rows": [
            {
                "name": f"{FOLDS} units on {cores} ranks",
                "unit": "s",
                "ours": ranks,
                "other": alone,
                "ratio": alone / ranks,
            }
        ],
    }


def fill(folder):
    """Make `folder` one in which `stages.train` can run: noise in place of mels."""
    rng, emotions = np.random.default_rng(0), ["anger", "neutral", "sadness"]
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["emotions"] = emotions
    settings["classifier"] |= {"arch": "resnet18", "frames": 128}
    settings["training"] |= {"epochs": EPOCHS, "patience": EPOCHS}
    (folder / "params.yaml").write_text(yaml.safe_dump(settings))
    number = np.arange(CLIPS)
    table = pd.DataFrame(
        {
            "clip": [f"demo/{n:04}" for n in number],
            "corpus": "demo",
            "path": "-",
            "sex": "female",
            "text": "a",
            "speaker": [f"demo-{n // 3 % 12:02}" for n in number],
            "emotion": [emotions[n % 3] for n in number],
            "intensity": "normal",
            "seconds": 1.0,
            "sample_rate": 16000,
            "sha256": [f"{n:064x}" for n in number],
        }
    )[list(manifest.COLUMNS)]
    (folder / "data").mkdir()
    table.to_csv(folder / "data/catalogue.csv", index=False)
    split = splits.Split(protocol="speaker", folds=FOLDS, repeats=1, validation=0.15, training=1.0, seed=0)
    splits.make(table, split).to_csv(folder / "data/splits.csv", index=False)
    mels = (({"clip": clip}, rng.uniform(-80, 0, (130, settings["mels"]["n_mels"]))) for clip in table["clip"])
    mel_store.write(folder / "data/mels", mels)


if __name__ == "__main__":
    bench.report(main)
