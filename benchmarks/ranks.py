"""Fold jobs in parallel: a stage of four folds in one process with all cores, against ranks of one thread each."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from benchmarks import bench
from ser.core import params
from ser.data import manifest, mel_store, splits

ROOT = Path(__file__).parents[1]
FOLDS, CLIPS, EPOCHS = 4, 288, 8


def main() -> dict[str, Any]:
    """Time `stages.train` on generated mels both ways, in turn; return the result."""
    cores = bench.machine()["cores"]
    launcher = f"{sys.executable} -m torch.distributed.run --nproc-per-node {cores}"  # torchrun
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder))

        def train(**environment: str) -> None:
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
        "what": f"training {FOLDS} folds of ResNet-18: `torchrun --nproc-per-node {cores}`, one thread each, against "
        f"one process of {cores} threads; interpreter start included",
        "versions": bench.versions("torch"),
        "rows": [
            {
                "name": f"{FOLDS} fold jobs on {cores} ranks",
                "unit": "s",
                "ours": ranks,
                "other": alone,
                "ratio": alone / ranks,
            }
        ],
    }


def fill(folder: Path) -> None:
    """Prepare `folder` for `stages.train`, with noise in place of mels."""
    rng, class_names = np.random.default_rng(0), ["anger", "neutral", "sadness"]
    values = params.load(ROOT / "params.yaml")
    values["emotions"] = class_names
    values["classifier"] |= {"arch": "resnet18", "frames": 128}
    values["training"] |= {"epochs": EPOCHS, "patience": EPOCHS}
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    number = np.arange(CLIPS)
    table = pd.DataFrame(
        {
            "clip": [f"demo/{n:04}" for n in number],
            "corpus": "demo",
            "path": "-",
            "sex": "female",
            "text": "a",
            "speaker": [f"demo-{n // 3 % 12:02}" for n in number],
            "emotion": [class_names[n % 3] for n in number],
            "intensity": "normal",
            "seconds": 1.0,
            "sample_rate": 16000,
            "sha256": [f"{n:064x}" for n in number],
        }
    )[list(manifest.COLUMNS)]
    (folder / "data").mkdir()
    table.to_csv(folder / "data/catalogue.csv", index=False)
    config = splits.SplitConfig(protocol="speaker", folds=FOLDS, repeats=1, validation=0.15, training=1.0, seed=0)
    splits.make(table, config).to_csv(folder / "data/splits.csv", index=False)
    mels = (({"clip": clip}, rng.uniform(-80, 0, (values["mels"]["n_mels"], 130))) for clip in table["clip"])
    mel_store.write(folder / "data/mels", mels)


if __name__ == "__main__":
    bench.report(main)
