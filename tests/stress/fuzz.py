"""Broken and hostile input: whatever hypothesis draws, a reader returns valid data or raises InputError.

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
from ser.audio.io import AudioConfig, load_audio
from ser.audio.mel import MelConfig, melspectrogram
from ser.core import checkpoints, params
from ser.core.errors import InputError
from ser.core.fold import Fold
from ser.corpora import archive, emodb, folder, ravdess, scan
from ser.data import manifest, mel_store, splits
from ser.data.clips import Normaliser
from ser.evaluation.predictions import read_predictions
from ser.models.classifier import ClassifierConfig, build_classifier
from ser.models.exported import Network
from tests.helpers import chaos
from tests.helpers.project import ROOT

FOLD = Fold(0, 0, ["a"], ["b"], ["c"])
MODEL, STORE = ("model.safetensors", "model.json"), ("frames.npy", "index.csv")
MEMORY = 2 << 30  # bytes a target may take beyond what its modules do
EXTREMES = [0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1]
PARAMS = {
    "emotions": ["anger", "neutral"],
    "audio": {"sample_rate": 16000, "channel": "mean", "trim_db": 30.0, "remove_mean": False},
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
    """The same sound in every format, with all kinds of samples."""
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
    contents = []
    for name, subtype in kinds:
        file = io.BytesIO()
        soundfile.write(file, samples, 16000, format=name, subtype=subtype)
        contents.append(file.getvalue())
    return contents


@cache
def model(prefix=""):
    """A recogniser with random weights, as the contents of model.safetensors and model.json."""
    config = params.check(PARAMS["classifier"], ClassifierConfig)
    network = Network(build_classifier(config, Normaliser.blank(16), 2, seed=0))
    tensors = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    facts = {"arm": "baseline", "params": PARAMS, "folds": {FOLD.name: {"train_digest": FOLD.train_digest}}}
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


def read_sound(content, place):
    """Do what stages, `predict` and the app do with a file."""
    path = place / "clip.wav"
    path.write_bytes(content)
    refused = []
    for read in (scan.measure, check_mel, recognise()):
        try:
            read(path)
        except InputError as error:
            refused.append(str(error))  # not the error, whose frames hold the samples
    if refused:
        raise InputError(refused[0])


def check_mel(path):
    samples = load_audio(path, params.check(PARAMS["audio"], AudioConfig))
    assert samples.ndim == 1 and len(samples) and np.isfinite(samples).all()
    mel = melspectrogram(samples, 16000, params.check(PARAMS["mels"], MelConfig))
    assert np.isfinite(mel).all() and mel.max() <= 0 and mel.min() >= mel_store.FLOOR_DB


VALUES = st.floats(width=32) | st.sampled_from([0.0, 1.0, -1.0, 3e38, float("nan"), float("inf"), 1e-45])
RECORDINGS = st.tuples(
    st.lists(VALUES, min_size=1, max_size=12),
    st.sampled_from([1, 7, 512, 5000]),
    st.integers(1, 8) | st.just(1024),
    st.sampled_from([1, 11, 8000, 48000, 10**6, 2**31 - 1]) | st.integers(1, 2**31 - 1),
)


def read_samples(recording, place):
    """Read a wav file of any samples, including NaN and infinity, with any number of channels and any rate."""
    samples, length, channels, rate = recording
    file = io.BytesIO()
    soundfile.write(file, np.resize(np.float32(samples), (length, channels)), rate, format="WAV", subtype="FLOAT")
    read_sound(file.getvalue(), place)


# Names and tables


def parse_name(name, _):
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
    """A table with this header and lines like `line`, in which a few cells are replaced."""
    rows = [[draw(CELLS) if draw(st.integers(0, 9)) == 0 else cell.format(n=n) for cell in line] for n in range(3)]
    text = "\n".join(",".join(row) for row in [header, *rows])
    return draw(damaged([text.encode()])) if draw(st.booleans()) else text.encode("utf-8", "replace")


def fetch_own_recordings(content, place):
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


def inventory(place, except_in):
    """All paths below `place` but those in one of its folders."""
    return {path for path in place.rglob("*") if path.relative_to(place).parts[0] != except_in}


def read_catalogue(content, place):
    (place / "catalogue.csv").write_bytes(content)
    table = manifest.load(place / "catalogue.csv")
    assert table["clip"].is_unique and table["emotion"].isin(manifest.EMOTIONS).all() and (table["seconds"] > 0).all()


def read_split(content, place):
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


def read_predictions_of_an_arm(content, place):
    (place / "predictions.csv").write_bytes(content)
    read_predictions(place / "predictions.csv", PARAMS["emotions"])


# Parameters, models, mel stores


@st.composite
def params_files(draw):
    """params.yaml with a value replaced, a key misspelt, lines changed, or bytes damaged."""
    text = (ROOT / "params.yaml").read_text()
    if draw(st.integers(0, 3)) == 0:
        return draw(damaged([text.encode()]))
    values = params.parse(text, "params.yaml")
    inside = values
    while True:
        key = draw(st.sampled_from(sorted(inside, key=str)))
        if not isinstance(inside[key], dict) or not inside[key] or draw(st.integers(0, 3)) == 0:
            break
        inside = inside[key]
    if draw(st.booleans()):
        leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
        inside[key] = draw(
            st.recursive(leaf, lambda values: st.lists(values, max_size=3) | st.dictionaries(leaf, values, max_size=3))
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


def read_params(content, place):
    (place / "params.yaml").write_bytes(content)
    schema.check(params.load(place / "params.yaml"))


def one_damaged(contents):
    """The contents of two files, one of them damaged."""
    one, other = contents
    return st.tuples(damaged([one]), st.just(other)) | st.tuples(st.just(one), damaged([other]))


def read_model(contents, place):
    write(place, MODEL, contents)
    assert list(recogniser.Recogniser.load(place).class_names)


def read_model_of_fold(contents, place):
    write(place, MODEL, contents)
    assert checkpoints.load(place / "model", FOLD)


@cache
def store():
    """A mel store, as the contents of frames.npy and index.csv."""
    with tempfile.TemporaryDirectory() as place:
        mel_store.write(f"{place}/mels", (({"clip": name}, np.full((4, 5), -40.0)) for name in "abc"))
        return tuple(Path(place, "mels", name).read_bytes() for name in STORE)


def read_store(contents, place):
    write(place, STORE, contents)
    mels = mel_store.read(place)
    for name in mels.index["clip"]:
        mels.clip(name)


# Archives


CLIPS = {f"wav/{name}.wav": name.encode() * 40 for name in ("one", "two", "three")}


def source(place, url="http://127.0.0.1:9/x.zip"):
    lines = [f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in CLIPS.items()]
    (place / "sums").write_text("".join(lines))
    return archive.Source("tiny", url, place / "sums")


@st.composite
def archives(draw):
    """A zip of the clips with hostile names, links and bombs; sometimes its bytes are damaged."""
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


def unpack_archive(content, place):
    copy, target = place / "tiny.zip", place / "target"
    copy.write_bytes(content)
    target.mkdir()
    tiny, before = source(place), inventory(place, "target") | {place / "sums"}
    try:
        archive.unpack(tiny, copy, target)
        assert {path: (target / path).read_bytes() for path in CLIPS} == CLIPS
    finally:
        assert inventory(place, "target") == before
        assert not any(path.is_symlink() for path in target.rglob("*"))


PLANS = st.lists(st.tuples(st.sampled_from(chaos.KINDS), st.floats(0, 1)), max_size=8)


def download_archive(plan, place):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for path, content in CLIPS.items():
            zipped.writestr(path, content)
    archive.PAUSE, archive.TIMEOUT = 0.001, 2
    with chaos.serving(file.getvalue(), plan) as server, chdir(place):
        tiny = source(place, server.url)
        try:
            archive.download(tiny, Path("tiny.zip"))
        except InputError:
            server.plan.clear()  # the network is back: the next run goes on
            archive.download(tiny, Path("tiny.zip"))
            assert Path("tiny.zip").read_bytes() == file.getvalue()
            raise
        assert Path("tiny.zip").read_bytes() == file.getvalue()


TARGETS = {
    "damaged sound files": (st.deferred(lambda: damaged(sounds())), read_sound),
    "any samples, channels and rates": (RECORDINGS, read_samples),
    "file names": (NAMES, parse_name),
    "clips.csv": (tables(["file", "speaker", "emotion"], ["{n}.wav", "anna", "anger"]), fetch_own_recordings),
    "catalogue.csv": (
        tables(manifest.COLUMNS, ["x/{n}", "x", "x.wav", "s", "male", "anger", "t", "normal", "1.5", "16000", "0a"]),
        read_catalogue,
    ),
    "splits.csv": (damaged([SPLIT.encode()]), read_split),
    "predictions": (
        tables(
            ["repeat", "fold", "run", "clip", "emotion", "predicted", *PARAMS["emotions"]],
            ["0", "0", "0", "x/{n}", "anger", "anger", "0.75", "0.25"],
        ),
        read_predictions_of_an_arm,
    ),
    "params.yaml": (params_files() | st.sampled_from(ODD), read_params),
    "models": (st.deferred(lambda: one_damaged(model())), read_model),
    "models of folds": (st.deferred(lambda: one_damaged(model(f"{FOLD.name}/"))), read_model_of_fold),
    "mel stores": (st.deferred(lambda: one_damaged(store())), read_store),
    "archives": (archives(), unpack_archive),
    "downloads": (PLANS, download_archive),
}


def run(name, examples):
    """Draw inputs for a target; return how many were read and how many refused. Any other error is raised."""
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
    """Print the outcome of `run` with no more than MEMORY beyond what this process has taken so far."""
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
    arguments = parser.parse_args()
    if len(arguments.names) == 1 and not arguments.out:
        bounded(arguments.names[0], arguments.examples)
        return 0
    results, failed = {}, []
    for name in arguments.names or TARGETS:
        command = [sys.executable, "-m", "tests.stress.fuzz", name, "--examples", str(arguments.examples)]
        completed = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        print(name, completed.stdout.strip() or f"failed with status {completed.returncode}", flush=True)
        if completed.returncode:
            failed.append(name)
        else:
            results[name] = json.loads(completed.stdout.splitlines()[-1])
    if arguments.out:
        measured.write(arguments.out, {"examples": arguments.examples, "targets": results, "failed": failed})
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
