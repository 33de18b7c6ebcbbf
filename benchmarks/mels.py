"""Caching mels: the stage against the common loop over librosa, and against the work that no code can leave out.

Run with `python -m benchmarks.mels`. All of it happens in one process, in turn, without interpreter start and imports.
"""

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import pandas as pd
import scipy.fft
import soundfile
import soxr
import yaml
from threadpoolctl import threadpool_limits

from benchmarks import bench
from benchmarks.common import librosa_loop
from ser.audio.io import Audio, load_audio, trim
from ser.audio.mel import Mels, _analysis, melspectrogram
from ser.core import params
from stages import cache_mels, catalogue, download

fork = multiprocessing.get_context("fork")
PARAMS = Path(__file__).parents[1] / "params.yaml"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--mirror",
        type=Path,
        default=os.environ.get("SER_MIRROR"),
        help="folder with emodb/ and ravdess/; generated clips without one",
    )
    parser.add_argument("--clips", type=int, help="as many, drawn at random (all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the result here as JSON")
    chosen = parser.parse_args()
    out, mirror = chosen.out and chosen.out.absolute(), chosen.mirror and Path(chosen.mirror).absolute()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        fill(mirror, chosen.clips)
        bench.save(out, measure(mirror, chosen.rounds))
        os.chdir("/")


def fill(mirror, clips):
    """Make the working folder one in which `cache_mels` can run."""
    values = yaml.safe_load(PARAMS.read_text())
    values["corpora"] = {"emodb": bool(mirror), "ravdess": bool(mirror), "demo": not mirror}
    Path("params.yaml").write_text(yaml.safe_dump(values))
    if mirror:
        os.environ["SER_MIRROR"] = str(mirror)
    for name in values["corpora"]:
        download.main(name)
    catalogue.main()
    if clips:
        table = pd.read_csv("data/catalogue.csv")
        table.sample(min(clips, len(table)), random_state=0).sort_index().to_csv("data/catalogue.csv", index=False)


def measure(mirror, rounds):
    sound, settings = params.read("audio", Audio), params.read("mels", Mels)
    table = pd.read_csv("data/catalogue.csv")
    paths = list(table["path"])
    parts = []

    def loop():
        Path("loop").mkdir()
        librosa_loop.run(paths, "loop", settings)
        shutil.rmtree("loop")

    seconds = bench.alternate(
        {
            "ours": cache_mels.main,
            "loop": loop,
            "parts": lambda: parts.append(unavoidable(paths, sound, settings)),
            "processes": lambda: at_once(paths, sound, settings),
        },
        rounds,
    )
    ours, other = median(seconds["ours"]), median(seconds["loop"])
    cores = bench.machine()["cores"]
    each = {name: median(part[name] for part in parts[1:]) for name in parts[0]}
    floor = median(seconds["processes"])

    def row(name, ours=None, other=None, floor=None, unit="ms a clip"):
        scale = 1000 / len(paths) if unit == "ms a clip" else 1
        figures = {"ours": ours, "other": other, "floor": floor}
        figures = {key: value if value is None else round(scale * value, 6) for key, value in figures.items()}
        ratio, reached = other and other / ours, other and floor / ours
        return {"name": name, **figures, "ratio": ratio, "reached": reached, "unit": unit}

    kind = "real" if mirror else "generated"
    return {
        "what": f"mels of {len(paths)} {kind} clips, {table.seconds.mean():.2f} s on average: the stage on {cores} "
        f"threads with packing, against a loop over librosa; median of {rounds} interleaved rounds",
        "floor": f"decoding, resampling, windows, FFT and filters alone, in {cores} processes at once",
        "command": " ".join(["python -m benchmarks.mels", *sys.argv[1:]]),
        "machine": bench.machine(),
        "versions": bench.versions("numpy", "scipy", "librosa", "soundfile", "soxr"),
        "rows": [
            row("mel caching", ours, other, floor),
            *(row(f"mel caching, {name} alone, one thread", floor=part) for name, part in each.items()),
            row("mel caching, all parts on one thread / cores", floor=sum(each.values()) / cores),
            row("mel caching, largest difference from librosa", difference(paths, sound, settings), unit="dB"),
        ],
        "seconds": {name: [round(second, 4) for second in seconds[name]] for name in ("ours", "loop")},
    }


def unavoidable(paths, sound, settings):
    """Seconds of each part on one thread, as bare as libraries can do it."""
    window, filters = _analysis(sound.sample_rate, settings)
    seconds = Counter()
    with threadpool_limits(1):
        for path in paths:
            start = perf_counter()
            samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
            read = perf_counter()
            mono = samples.mean(axis=1, dtype=np.float32)
            ready = perf_counter()
            resampled = soxr.resample(mono, rate, sound.sample_rate)
            seconds["decode"] += read - start
            seconds["resample"] += perf_counter() - ready
            samples = np.pad(trim(resampled, sound.trim_db), settings.n_fft // 2)
            start = perf_counter()
            frames = np.lib.stride_tricks.sliding_window_view(samples, settings.n_fft)[:: settings.hop]
            spectrum = scipy.fft.rfft(frames * window)
            (spectrum.real**2 + spectrum.imag**2)[:, : len(filters)] @ filters
            seconds["windows, FFT and filters"] += perf_counter() - start
    return seconds


def at_once(paths, sound, settings):
    """The same, shared by a process a core: what the cores can do when both are busy."""
    count = bench.machine()["cores"]
    shares = [paths[number::count] for number in range(count)]
    processes = [fork.Process(target=unavoidable, args=(share, sound, settings)) for share in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def difference(paths, sound, settings):
    """The largest difference in dB from librosa, on the same samples of some 200 clips."""
    largest = 0
    for path in paths[:: max(1, len(paths) // 200)]:
        samples = load_audio(path, sound)
        ours = melspectrogram(samples, sound.sample_rate, settings)
        theirs = librosa_loop.mel(samples, settings, sound.sample_rate).T
        largest = max(largest, np.abs(ours - theirs).max())
    return float(largest)


if __name__ == "__main__":
    main()
