"""Broken and hostile input: whatever hypothesis draws, a reader returns something sound or raises InputError.

`python -m tests.stress.fuzz --out FILE [--examples N] [NAME ...]`, every target in a process with bounded memory.
"""

import argparse
import hashlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from contextlib import chdir
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import measured
from ser import recogniser, schema
from ser.audio.io import Audio, load_audio
from ser.audio.mel import Mels, melspectrogram
from ser.core import checkpoints, params
from ser.core.errors import InputError
from ser.corpora import archive, emodb, folder, ravdess, scan
from ser.data import manifest, mel_store, splits
from ser.evaluation.predictions import read_predictions
from ser.models.classifier import ClassifierSettings
from ser.models.exported import Network
from tests.helpers import chaos
from tests.helpers.project import ROOT

FOLD = splits.Fold(0, 0, ["a"], ["b"], ["c"])
MODEL, PACK = ("model.safetensors", "model.json"), ("frames.npy", "index.csv")
MEMORY = 2 << 30  # bytes a target may take beyond what its modules do
EXTREMES = [0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1]
CHOSEN = {
    "emotions": ["anger", "neutral"],
    "audio": {"sample_rate": 16000, "channel": "mean", "trim_db": 30.0},
    "mels": {"n_fft": 512, "hop": 256, "n_mels": 16, "fmin": 0.0, "fmax": 8000.0},
    "classifier": {"arch": "cnn", "pretrained": "none", "frames": 32, "resize": None, "dropout": 0.5},
}


@st.composite
def damaged(draw, contents):
    """One of `contents` (bytes), with bytes overwritten, removed or inserted, often near its start, or cut short."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, min(len(content), 80)) | st.integers(0, len(content)))
        edit = draw(st.sampled_from(["number", "bytes", "insert", "remove", "cut"]))
        if edit == "number":
            order = draw(st.sampled_from(["little", "big"]))
            content[place : place + 4] = draw(st.sampled_from(EXTREMES)).to_bytes(4, order)
        elif edit == "bytes":
            new = draw(st.binary(min_size=1, max_size=8))
            content[place : place + len(new)] = new
        elif edit == "insert":
            content[place:place] = draw(st.binary(min_size=1, max_size=8))
        elif edit == "remove":
            del content[place : place + draw(st.integers(1, 64))]
        else:
            del content[place:]
    return bytes(content)


# Sound


@cache
def sounds():
    """The same swell in every format, of all kinds of samples."""
    time = np.arange(8000) / 16000
    samples = 0.5 * np.sign(np.sin(2 * np.pi * 200 * time)) * np.sin(2 * np.pi * time)
    kinds = [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAVEX", "PCM_24"),
        ("RF64", "PCM_16"),
        ("WAV", "MS_ADPCM"),
        ("AIFF", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", None),
    ]
    found = []
    for name, subtype in kinds:
        file = io.BytesIO()
        soundfile.write(file, samples, 16000, format=name, subtype=subtype)
        found.append(file.getvalue())
    return found


@cache
def model(prefix=""):
    """A recogniser of random weights, as the contents of model.safetensors and model.json."""
    network = Network(params.check(CHOSEN["classifier"], ClassifierSettings), 16, 2)
    tensors = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    facts = {"arm": "baseline", "params": CHOSEN, "units": {FOLD.name: {"training": FOLD.training_digest}}}
    with tempfile.TemporaryDirectory() as place:
        checkpoints.save(f"{place}/model", tensors, facts)
        return tuple(Path(place, name).read_bytes() for name in MODEL)


@cache
def recognise():
    with tempfile.TemporaryDirectory() as place:
        write(Path(place), MODEL, model())
        return recogniser.Recogniser.load(place)


def write(place, names, contents):
    for name, content in zip(names, contents, strict=True):
        (place / name).write_bytes(content)


def hear(content, place):
    """What stages, `predict` and the app do with a file."""
    path = place / "clip.wav"
    path.write_bytes(content)
    refused = []
    for read in (scan.measure, heard, recognise()):
        try:
            read(path)
        except InputError as error:
            refused.append(str(error))  # not the error, whose frames hold the samples
    if refused:
        raise InputError(refused[0])


def heard(path):
    samples = load_audio(path, params.check(CHOSEN["audio"], Audio))
    assert samples.ndim == 1 and len(samples) and np.isfinite(samples).all()
    mel = melspectrogram(samples, 16000, params.check(CHOSEN["mels"], Mels))
    assert np.isfinite(mel).all() and mel.max() <= 0 and mel.min() >= mel_store.FLOOR_DB


VALUES = st.floats(width=32) | st.sampled_from([0.0, 1.0, -1.0, 3e38, float("nan"), float("inf"), 1e-45])
RECORDINGS = st.tuples(
    st.lists(VALUES, min_size=1, max_size=12),
    st.sampled_from([1, 7, 512, 5000]),
    st.integers(1, 8) | st.just(1024),
    st.sampled_from([1, 11, 8000, 48000, 10**6, 2**31 - 1]) | st.integers(1, 2**31 - 1),
)


def hear_samples(recording, place):
    """A wav file of any samples, NaN and infinity among them, of any number of channels and any rate."""
    samples, length, channels, rate = recording
    file = io.BytesIO()
    soundfile.write(file, np.resize(np.float32(samples), (length, channels)), rate, format="WAV", subtype="FLOAT")
    hear(file.getvalue(), place)


# Names and tables


def named(name, _):
    read = 0
    for corpus in (emodb, ravdess):
        try:
            row = corpus.parse(Path(name))
            assert row["emotion"] in manifest.EMOTIONS and row["speaker"].startswith(corpus.SOURCE.name)
            read += 1
        except InputError:
            continue
    if not read:
        raise InputError(name)


NAMES = (
    st.text(min_size=1, max_size=40).filter(lambda name: "\0" not in name)
    | st.from_regex(r"[0-9]{2}[ab][0-9]{2}[A-Z][a-z]\.wav", fullmatch=True)
    | st.from_regex(r"0[1-3](-0[0-9]){5}-[0-9]{2}\.wav", fullmatch=True)
)
CELLS = st.sampled_from(
    [
        "anger",
        "neutral",
        "anna",
        "1.wav",
        "a/../../b.wav",
        "/etc/passwd.wav",
        "..",
        "",
        "nan",
        "-1",
        "1e999",
        '"',
    ]
) | st.text(max_size=6)


@st.composite
def tables(draw, header, line):
    """A table of this header with lines like `line`, some cells replaced."""
    rows = [[draw(CELLS) if draw(st.integers(0, 9)) == 0 else cell.format(n=n) for cell in line] for n in range(3)]
    text = "\n".join(",".join(row) for row in [header, *rows])
    return draw(damaged([text.encode()])) if draw(st.booleans()) else text.encode("utf-8", "replace")


def own_recordings(content, place):
    (place / "source").mkdir()
    (place / "target").mkdir()
    (place / "source" / folder.TABLE).write_bytes(content)
    for number in range(3):
        (place / "source" / f"{number}.wav").write_bytes(b"")
    before = inventory(place, "target")
    try:
        folder.fetch(place / "target", place / "source")
    finally:
        assert inventory(place, "target") == before
        assert all(path.parent == place / "target" for path in (place / "target").rglob("*"))


def inventory(place, but):
    return {path for path in place.rglob("*") if path.relative_to(place).parts[0] != but}


def the_catalogue(content, place):
    (place / "catalogue.csv").write_bytes(content)
    table = manifest.load(place / "catalogue.csv")
    assert table["clip"].is_unique and table["emotion"].isin(manifest.EMOTIONS).all() and (table["seconds"] > 0).all()


def the_split(content, place):
    (place / "splits.csv").write_bytes(content)
    table = pd.DataFrame(
        {
            "clip": ["a", "b", "c"],
            "corpus": "x",
            "speaker": ["a", "b", "c"],
            "text": "t",
            "emotion": "anger",
            "sha256": ["a", "b", "c"],
        }
    )
    for fold in splits.load(place / "splits.csv", table, "speaker"):
        assert len({*fold.train, *fold.validation, *fold.test}) == len(fold.train + fold.validation + fold.test)


SPLIT = "repeat,fold,clip,role\n" + "".join(
    f"0,{fold},{clip},{role}\n"
    for fold, roles in enumerate(["test train validation", "validation test train", "train validation test"])
    for clip, role in zip("abc", roles.split(), strict=True)
)


def the_predictions(content, place):
    (place / "predictions.csv").write_bytes(content)
    read_predictions(place / "predictions.csv", CHOSEN["emotions"])


# Parameters, models, packs


@st.composite
def settings_files(draw):
    """params.yaml with a value replaced, a key misspelt, lines changed, or bytes damaged."""
    text = (ROOT / "params.yaml").read_text()
    if draw(st.integers(0, 3)) == 0:
        return draw(damaged([text.encode()]))
    values = yaml.safe_load(text)
    inside = values
    while True:
        key = draw(st.sampled_from(sorted(inside, key=str)))
        if not isinstance(inside[key], dict) or not inside[key] or draw(st.integers(0, 3)) == 0:
            break
        inside = inside[key]
    if draw(st.booleans()):
        leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
        inside[key] = draw(
            st.recursive(leaf, lambda some: st.lists(some, max_size=3) | st.dictionaries(leaf, some, max_size=3))
        )
    else:
        inside[draw(st.text(max_size=8))] = inside.pop(key)
    return yaml.safe_dump(values, sort_keys=False).encode()


BOMB = "seed:\n  a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"  {name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
ODD = [
    BOMB.encode(),
    b"seed: 2020-13-45",
    b"[" * 20_000,
    b"seed: " + b"9" * 5000,
    b"? [a]\n: 1",
    b"&a [*a]",
    b"\x00",
    b"seed: !!binary x",
    b"!!python/object/apply:os.system ['true']",
]


def the_params(content, place):
    (place / "params.yaml").write_bytes(content)
    schema.check(params.load(place / "params.yaml"))


def one_damaged(contents):
    """The contents of two files, one of them damaged."""
    one, other = contents
    return st.tuples(damaged([one]), st.just(other)) | st.tuples(st.just(one), damaged([other]))


def the_model(contents, place):
    write(place, MODEL, contents)
    found = recogniser.Recogniser.load(place)
    assert list(found.emotions)


def the_fold(contents, place):
    write(place, MODEL, contents)
    assert checkpoints.load(place / "model", FOLD)


@cache
def pack():
    with tempfile.TemporaryDirectory() as place:
        mel_store.write(f"{place}/pack", (({"clip": name}, np.full((5, 4), -40.0)) for name in "abc"))
        return tuple(Path(place, "pack", name).read_bytes() for name in PACK)


def the_pack(contents, place):
    write(place, PACK, contents)
    found = mel_store.read(place)
    for name in found.index["clip"]:
        found.clip(name)


# Archives


CLIPS = {f"wav/{name}.wav": name.encode() * 40 for name in ("one", "two", "three")}


def source(place, url="http://127.0.0.1:9/x.zip"):
    lines = [f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in CLIPS.items()]
    (place / "sums").write_text("".join(lines))
    return archive.Source("tiny", url, place / "sums")


@st.composite
def archives(draw):
    """A zip of the clips, of hostile names, links and bombs, its bytes damaged now and then."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))) as zipped:
        for path, content in CLIPS.items():
            prefix = draw(st.sampled_from(["", "x/", "../../", "/", "..\\..\\", "C:\\"]))
            zipped.writestr(prefix + path, content)
        if draw(st.booleans()):
            link = zipfile.ZipInfo(draw(st.sampled_from(["link/one.wav", "wav", "link"])))
            link.external_attr = 0o120777 << 16
            zipped.writestr(link, "/etc/passwd")
        if draw(st.integers(0, 5)) == 0:
            zipped.writestr("bomb/one.wav", bytes(archive.LARGEST + 1), zipfile.ZIP_DEFLATED)
    return draw(damaged([file.getvalue()])) if draw(st.booleans()) else file.getvalue()


def the_archive(content, place):
    copy, target = place / "tiny.zip", place / "target"
    copy.write_bytes(content)
    target.mkdir()
    known, before = source(place), inventory(place, "target") | {place / "sums"}
    try:
        archive.unpack(known, copy, target)
        assert {path: (target / path).read_bytes() for path in CLIPS} == CLIPS
    finally:
        assert inventory(place, "target") == before
        assert not any(path.is_symlink() for path in target.rglob("*"))


PLANS = st.lists(st.tuples(st.sampled_from(chaos.KINDS), st.floats(0, 1)), max_size=8)


def the_download(plan, place):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for path, content in CLIPS.items():
            zipped.writestr(path, content)
    archive.PAUSE, archive.TIMEOUT = 0.001, 2
    with chaos.serving(file.getvalue(), plan) as server, chdir(place):
        known = source(place, server.url)
        try:
            archive.download(known, Path("tiny.zip"))
        except InputError:
            server.plan.clear()  # the network is back: the next run goes on
            archive.download(known, Path("tiny.zip"))
            assert Path("tiny.zip").read_bytes() == file.getvalue()
            raise
        assert Path("tiny.zip").read_bytes() == file.getvalue()


TARGETS = {
    "damaged sound files": (st.deferred(lambda: damaged(sounds())), hear),
    "any samples, channels and rates": (RECORDINGS, hear_samples),
    "file names": (NAMES, named),
    "clips.csv": (tables(["file", "speaker", "emotion"], ["{n}.wav", "anna", "anger"]), own_recordings),
    "catalogue.csv": (
        tables(manifest.COLUMNS, ["x/{n}", "x", "x.wav", "s", "male", "anger", "t", "normal", "1.5", "16000", "0a"]),
        the_catalogue,
    ),
    "splits.csv": (damaged([SPLIT.encode()]), the_split),
    "predictions": (
        tables(
            ["repeat", "fold", "clip", "emotion", "predicted", *CHOSEN["emotions"]],
            ["0", "0", "x/{n}", "anger", "anger", "0.75", "0.25"],
        ),
        the_predictions,
    ),
    "params.yaml": (settings_files() | st.sampled_from(ODD), the_params),
    "models": (st.deferred(lambda: one_damaged(model())), the_model),
    "models of folds": (st.deferred(lambda: one_damaged(model(f"{FOLD.name}/"))), the_fold),
    "packs of mels": (st.deferred(lambda: one_damaged(pack())), the_pack),
    "archives": (archives(), the_archive),
    "downloads": (PLANS, the_download),
}


def run(name, examples):
    """Draw inputs for a target; returns how many were read and how many refused. Anything else is raised."""
    strategy, read = TARGETS[name]
    outcomes = Counter(read=0, refused=0)

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def target(value):
        with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read(value, Path(place))
            except InputError as error:
                assert str(error)
                outcomes["refused"] += 1
            else:
                outcomes["read"] += 1

    target()
    return dict(outcomes)


def bounded(name, examples):
    """`run` with no more than MEMORY beyond what this process has taken so far; prints its outcome."""
    status = Path("/proc/self/status").read_text()
    taken = int(status.partition("VmSize:")[2].split()[0]) << 10
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = run(name, examples)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(outcomes | {"memory MiB": round((after - before) / 1024)}))


def main():
    parser = argparse.ArgumentParser("python -m tests.stress.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    if len(chosen.names) == 1 and not chosen.out:
        bounded(chosen.names[0], chosen.examples)
        return 0
    results, failed = {}, []
    for name in chosen.names or TARGETS:
        command = [sys.executable, "-m", "tests.stress.fuzz", name, "--examples", str(chosen.examples)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        print(name, done.stdout.strip() or f"failed with status {done.returncode}", flush=True)
        if done.returncode:
            failed.append(name)
        else:
            results[name] = json.loads(done.stdout.splitlines()[-1])
    if chosen.out:
        measured.write(chosen.out, {"examples": chosen.examples, "targets": results, "failed": failed})
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
