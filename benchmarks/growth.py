"""How the time and memory of catalogue, mels and split grow with the corpus, and what training loads of the mel store.

Run with `python -m benchmarks.growth`. The clips are half a second of noise each, all different, with invented names
and labels. Every stage runs in a process of its own. Needs 20 kB of disk space per clip, which is freed at the end.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import soundfile
import yaml

from benchmarks import bench
from ser.core import params

ROOT = Path(__file__).parents[1]
CLASS_NAMES = ["anger", "disgust", "fear", "happiness", "neutral", "sadness"]
RATE, SAMPLES, LOADED = 16000, 8000, 64

# What a process runs: the stage itself, with a parser for the invented names.
STAGE = """
import sys
from benchmarks import growth
from ser.corpora import demo
from ser.core.stage import stage
demo.parse = growth.parse
stage(__import__(f"stages.{sys.argv[1]}", fromlist=["main"]).main)
"""
TRAINING = """
import resource
import pandas as pd, torch
from benchmarks import growth
from ser.data import clips, mel_store
table = pd.read_csv("data/catalogue.csv", usecols=["clip", "emotion"])
emotion_of = dict(zip(table["clip"], table["emotion"]))
store = mel_store.read("data/mels")
names = list(table["clip"].iloc[:: len(table) // growth.LOADED])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
clips.load_clips(store, names, emotion_of, growth.CLASS_NAMES, torch.device("cpu"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1510, 15_000, 100_000])
    parser.add_argument("--out", type=Path, help="write the result here as JSON")
    arguments = parser.parse_args()
    rows = []
    for clips in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder), clips)
            rows += measure(Path(folder), clips)
    bench.save(
        arguments.out,
        {
            "what": "stages on generated clips of half a second: wall time with interpreter start, and peak memory; "
            f"then what loading {LOADED} clips adds to a process that has opened the mel store",
            "command": " ".join(["python -m benchmarks.growth", *sys.argv[1:]]),
            "machine": bench.machine(),
            "versions": bench.versions("numpy", "pandas", "soundfile", "soxr", "torch"),
            "rows": rows,
        },
    )


def fill(folder: Path, clips: int) -> None:
    """Make a working folder with `clips` wav files and the parameters that select them."""
    values = params.load(ROOT / "params.yaml")
    values |= {"emotions": CLASS_NAMES, "corpora": dict.fromkeys(values["corpora"], False) | {"demo": True}}
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    corpus = folder / "data" / "corpora" / "demo"
    corpus.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(-(2**13), 2**13, SAMPLES + clips, dtype=np.int16)
    soundfile.write(corpus / "0.wav", noise[:SAMPLES], RATE)
    header = (corpus / "0.wav").read_bytes()[: -2 * SAMPLES]
    for number in range(clips):
        (corpus / f"{number}.wav").write_bytes(header + noise[number : number + SAMPLES].tobytes())


def parse(path: Path) -> dict[str, str]:
    """Labels from a number: 60 speakers, twelve sentences and six emotions in every combination."""
    number = int(path.stem)
    return {
        "speaker": f"demo-{number % 60:02}",
        "sex": ["female", "male"][number % 2],
        "text": f"demo-{number // 360 % 12:02}",
        "emotion": CLASS_NAMES[number // 60 % 6],
        "intensity": "normal",
    }


def measure(folder: Path, clips: int) -> list[dict[str, Any]]:
    """Rows for the time and the memory of each stage, and for what training loads."""
    rows = []
    for stage in ("catalogue", "cache_mels", "split"):
        seconds, mebibytes, _ = run(folder, STAGE, stage)
        rows.append(row(f"{stage}, {clips} clips", seconds, "s"))
        rows.append(row(f"{stage}, {clips} clips, each", 1000 * seconds / clips, "ms"))
        rows.append(row(f"{stage}, {clips} clips, peak memory", mebibytes, "MiB"))
    size = (folder / "data" / "mels" / "frames.npy").stat().st_size
    *_, output = run(folder, TRAINING)
    rows.append(row(f"mel store of {clips} clips", size / 2**20, "MiB"))
    rows.append(row(f"memory to load {LOADED} of {clips} clips", int(output) / 2**10, "MiB"))
    return rows


def run(folder: Path, program: str, *arguments: str) -> tuple[float, float, str]:
    """Run a program in a process of its own; return its seconds, peak memory in MiB and output."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    start = perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed")
    return seconds, usage.ru_maxrss / 1024, output


def row(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "ours": round(value, 3), "other": None, "ratio": None, "floor": None, "unit": unit}


if __name__ == "__main__":
    main()
