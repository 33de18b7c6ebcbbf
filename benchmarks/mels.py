"""Caching mels: the stage against the common loop over librosa, and against the work that no code can avoid.

Run with `python -m benchmarks.mels`. Everything runs in one process, in turn, without interpreter start and imports.
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
from typing import Any

import numpy as np
import pandas as pd
import scipy.fft
import soundfile
import soxr
import yaml
from threadpoolctl import threadpool_limits

from benchmarks import bench
from benchmarks.common import librosa_loop
from ser.audio.io import AudioConfig, load_audio, trim
from ser.audio.mel import MelConfig, melspectrogram, window_and_filters
from ser.core import params
from stages import cache_mels, catalogue, download

fork = multiprocessing.get_context("fork")
PARAMS = Path(__file__).parents[1] / "params.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--mirror",
        type=Path,
        default=os.environ.get("SER_MIRROR"),
        help="folder with emodb/ and ravdess/; default: the generated clips of the demo",
    )
    parser.add_argument("--clips", type=int, help="number of clips, drawn at random; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the result here as JSON")
    arguments = parser.parse_args()
    out = arguments.out and arguments.out.absolute()
    mirror = arguments.mirror and Path(arguments.mirror).absolute()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        fill(mirror, arguments.clips)
        bench.save(out, measure(mirror, arguments.rounds))
        os.chdir("/")


def fill(mirror: Path | None, clips: int | None) -> None:
    """Prepare the working folder for `cache_mels`."""
    values = params.load(PARAMS)
    corpora = ["emodb", "ravdess"] if mirror else ["demo"]
    values["corpora"] = {name: name in corpora for name in values["corpora"]}
    Path("params.yaml").write_text(yaml.safe_dump(values))
    if mirror:
        os.environ["SER_MIRROR"] = str(mirror)
    for name in corpora:
        download.main(name)
    catalogue.main()
    if clips:
        table = pd.read_csv("data/catalogue.csv")
        table.sample(min(clips, len(table)), random_state=0).sort_index().to_csv("data/catalogue.csv", index=False)


def measure(mirror: Path | None, rounds: int) -> dict[str, Any]:
    audio_config, mel_config = params.read("audio", AudioConfig), params.read("mels", MelConfig)
    table = pd.read_csv("data/catalogue.csv")
    paths = list(table["path"])
    seconds_of_steps = []

    def loop() -> None:
        Path("loop").mkdir()
        librosa_loop.run(paths, "loop", mel_config)
        shutil.rmtree("loop")

    seconds = bench.alternate(
        {
            "ours": cache_mels.main,
            "loop": loop,
            "steps": lambda: seconds_of_steps.append(unavoidable(paths, audio_config, mel_config)),
            "processes": lambda: in_processes(paths, audio_config, mel_config),
        },
        rounds,
    )
    ours, other = median(seconds["ours"]), median(seconds["loop"])
    cores = bench.machine()["cores"]
    step_medians = {name: median(steps[name] for steps in seconds_of_steps[1:]) for name in seconds_of_steps[0]}
    floor = median(seconds["processes"])

    def row(
        name: str,
        ours: float | None = None,
        other: float | None = None,
        floor: float | None = None,
        unit: str = "ms per clip",
    ) -> dict[str, Any]:
        scale = 1000 / len(paths) if unit == "ms per clip" else 1
        values = {"ours": ours, "other": other, "floor": floor}
        values = {key: value if value is None else round(scale * value, 6) for key, value in values.items()}
        ratio, reached = other and other / ours, other and floor / ours
        return {"name": name, **values, "ratio": ratio, "reached": reached, "unit": unit}

    kind = "real" if mirror else "generated"
    return {
        "what": f"mels of {len(paths)} {kind} clips, {table.seconds.mean():.2f} s on average: the stage on {cores} "
        f"threads with writing, against a loop over librosa; median of {rounds} interleaved rounds",
        "floor": f"decoding, resampling, windows, FFT and filters alone, in {cores} processes at once",
        "command": " ".join(["python -m benchmarks.mels", *sys.argv[1:]]),
        "machine": bench.machine(),
        "versions": bench.versions("numpy", "scipy", "librosa", "soundfile", "soxr"),
        "rows": [
            row("mel caching", ours, other, floor),
            *(row(f"mel caching, {name} alone, one thread", floor=step) for name, step in step_medians.items()),
            row("mel caching, all steps on one thread / cores", floor=sum(step_medians.values()) / cores),
            row("mel caching, largest difference from librosa", difference(paths, audio_config, mel_config), unit="dB"),
        ],
        "seconds": {name: [round(second, 4) for second in seconds[name]] for name in ("ours", "loop")},
    }


def unavoidable(paths: list[str], audio_config: AudioConfig, mel_config: MelConfig) -> Counter[str]:
    """Seconds of each step on one thread, with bare calls of libraries."""
    window, filters = window_and_filters(audio_config.sample_rate, mel_config)
    seconds: Counter[str] = Counter()
    with threadpool_limits(1):
        for path in paths:
            start = perf_counter()
            samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
            read = perf_counter()
            mono = samples.mean(axis=1, dtype=np.float32)
            ready = perf_counter()
            resampled = soxr.resample(mono, rate, audio_config.sample_rate)
            seconds["decode"] += read - start
            seconds["resample"] += perf_counter() - ready
            samples = np.pad(trim(resampled, audio_config.trim_db), mel_config.n_fft // 2)
            start = perf_counter()
            frames = np.lib.stride_tricks.sliding_window_view(samples, mel_config.n_fft)[:: mel_config.hop]
            spectrum = scipy.fft.rfft(frames * window)
            (spectrum.real**2 + spectrum.imag**2)[:, : len(filters)] @ filters
            seconds["windows, FFT and filters"] += perf_counter() - start
    return seconds


def in_processes(paths: list[str], audio_config: AudioConfig, mel_config: MelConfig) -> None:
    """The same in one process per core: what the cores can do when all are busy."""
    count = bench.machine()["cores"]
    shares = [paths[number::count] for number in range(count)]
    processes = [fork.Process(target=unavoidable, args=(share, audio_config, mel_config)) for share in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def difference(paths: list[str], audio_config: AudioConfig, mel_config: MelConfig) -> float:
    """The largest difference from librosa in dB, on the same samples of about 200 clips."""
    largest = 0.0
    for path in paths[:: max(1, len(paths) // 200)]:
        samples = load_audio(path, audio_config)
        mel = melspectrogram(samples, audio_config.sample_rate, mel_config)
        librosa_mel = librosa_loop.mel(samples, mel_config, audio_config.sample_rate)
        largest = max(largest, float(np.abs(mel - librosa_mel).max()))
    return largest


if __name__ == "__main__":
    main()
