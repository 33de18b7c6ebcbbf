import errno
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ser.core.errors import InputError
from ser.data import mel_store

LENGTHS = {"x/a": 5, "x/b": 1, "x/c": 12}


def spectra(seed=0):
    """Mels [4, frames] of three clips."""
    rng = np.random.default_rng(seed)
    return {clip: rng.uniform(-80, 0, (length, 4)).astype(np.float16).T for clip, length in LENGTHS.items()}


def rows(mels, **facts):
    return [({"clip": clip, **facts}, mel) for clip, mel in mels.items()]


@pytest.fixture
def folder(tmp_path):
    mel_store.write(tmp_path / "mels", rows(spectra(), emotion="anger", fold=3))
    return tmp_path / "mels"


def test_what_is_written_is_read_again(folder):
    store = mel_store.read(folder)
    assert list(store.index.columns) == ["clip", "start", "frames", "emotion", "fold"]
    assert list(store.index["clip"]) == list(LENGTHS)
    assert list(store.index.start) == [0, 5, 6]
    assert list(store.index.frames) == [5, 1, 12]
    assert set(store.index.emotion) == {"anger"} and set(store.index.fold) == {3}
    for clip, mel in spectra().items():
        assert store.clip(clip).dtype == np.float32
        np.testing.assert_array_equal(store.clip(clip), mel)


def test_numpy_reads_the_frames_one_after_the_other(folder):
    frames = np.load(folder / "frames.npy", allow_pickle=False)
    assert frames.dtype == np.float16
    np.testing.assert_array_equal(frames, np.concatenate(list(spectra().values()), axis=1).T)


def test_reading_maps_the_frames_and_loads_none(folder):
    assert isinstance(mel_store.read(folder).frames, np.memmap)


def test_writing_holds_one_clip_at_a_time(tmp_path):
    def clips():
        for number in range(60):
            yield {"clip": f"x/{number}"}, np.full((80, 500), -number, np.float32)  # 160 kB

    tracemalloc.start()
    mel_store.write(tmp_path / "mels", clips())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "mels/frames.npy").stat().st_size > 4_800_000
    assert peak < 1_000_000
    assert mel_store.read(tmp_path / "mels").clip("x/59").max() == -59


def test_stores_are_joined_in_order(tmp_path):
    first, second = spectra(), {f"y/{clip}": mel for clip, mel in spectra(1).items()}
    mel_store.write(tmp_path / "1", rows(first, fold=0))
    mel_store.write(tmp_path / "2", rows(second, fold=1))
    mel_store.join(tmp_path / "both", [tmp_path / "1", tmp_path / "2"])
    store = mel_store.read(tmp_path / "both")
    assert list(store.index["clip"]) == [*first, *second]
    assert list(store.index.fold) == [0] * 3 + [1] * 3
    for clip, mel in (first | second).items():
        np.testing.assert_array_equal(store.clip(clip), mel)


def test_stores_that_share_a_clip_are_refused_once_joined(folder, tmp_path):
    mel_store.join(tmp_path / "both", [folder, folder])
    with pytest.raises(InputError, match=r"both: frames.npy and index.csv do not belong together"):
        mel_store.read(tmp_path / "both")


def test_the_same_clips_give_the_same_bytes(folder, tmp_path):
    mel_store.write(tmp_path / "again", rows(spectra(), emotion="anger", fold=3))
    for name in ("frames.npy", "index.csv"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_half_written_store_is_never_seen(tmp_path):
    def clips():
        yield from rows(spectra())
        assert not (tmp_path / "mels").exists()
        raise InputError("x/d.wav: damaged")

    with pytest.raises(InputError, match="damaged"):
        mel_store.write(tmp_path / "mels", clips())
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_earlier_store(folder):
    def clips():
        yield {"clip": "x/a"}, np.zeros((4, 3))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mel_store.write(folder, clips())
    assert [path.name for path in folder.parent.iterdir()] == ["mels"]
    assert list(mel_store.read(folder).index["clip"]) == list(LENGTHS)


def test_a_later_store_replaces_the_earlier_one(folder):
    mel_store.write(folder, [({"clip": "x/z"}, np.zeros((4, 2)))])
    assert list(mel_store.read(folder).index["clip"]) == ["x/z"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_reported_as_such(tmp_path, monkeypatch):
    mkdir = Path.mkdir

    def full(path, **options):
        mkdir(path, **options)
        if path.name.endswith(".part"):
            (path / "frames.npy").symlink_to("/dev/full")

    monkeypatch.setattr(Path, "mkdir", full)
    monkeypatch.setattr(mel_store, "_write_header", lambda *_: None)  # so that the frames are the first to fail
    with pytest.raises(OSError) as error:
        mel_store.write(tmp_path / "mels", [({"clip": "x/a"}, np.zeros((80, 1000)))])
    assert error.value.errno == errno.ENOSPC


def test_no_clips(tmp_path):
    with pytest.raises(InputError, match=r"mels: no clips to write; check `corpora` and `emotions` in params.yaml"):
        mel_store.write(tmp_path / "mels", iter(()))
    assert list(tmp_path.iterdir()) == []


def edit(folder, change):
    change(pd.read_csv(folder / "index.csv")).to_csv(folder / "index.csv", index=False)


def twice(index):
    return index.replace({"clip": {"x/b": "x/a"}})


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: edit(folder, lambda index: index[1:]),
        lambda folder: edit(folder, lambda index: index.replace({"frames": {12: 11}})),
        lambda folder: edit(folder, twice),
        lambda folder: np.save(folder / "frames.npy", np.zeros((17, 4), np.float16)),
    ],
    ids=["row lost", "frames lost", "clip twice", "other frames"],
)
def test_frames_and_index_must_belong_together(folder, change):
    change(folder)
    with pytest.raises(
        InputError, match=f"^{folder}: frames.npy and index.csv do not belong together; run `dvc repro`"
    ):
        mel_store.read(folder)


@pytest.mark.parametrize("column", ["clip", "start", "frames"])
def test_a_missing_column_is_named(folder, column):
    edit(folder, lambda index: index.drop(columns=column))
    with pytest.raises(InputError, match=f"^{folder}/index.csv: column {column} is missing"):
        mel_store.read(folder)


def truncate(path, size):
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "frames.npy").unlink(),
        lambda folder: (folder / "index.csv").unlink(),
        lambda folder: truncate(folder / "frames.npy", -20),
        lambda folder: truncate(folder / "frames.npy", 60),
        lambda folder: truncate(folder / "index.csv", 0),
        lambda folder: (folder / "frames.npy").write_bytes(b"no array"),
        lambda folder: np.save(folder / "frames.npy", np.array([{}]), allow_pickle=True),
        lambda folder: truncate(folder / "frames.npy", 0),
    ],
    ids=[
        "no frames",
        "no index",
        "truncated",
        "header only",
        "empty index",
        "no array",
        "pickled",
        "empty frames",
    ],
)
def test_an_unreadable_store_says_what_to_do(folder, change):
    change(folder)
    with pytest.raises(InputError, match=f"^{folder}: not a readable mel store .*; run `dvc repro` or `dvc pull`"):
        mel_store.read(folder)


def test_a_missing_store_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="gone: not a readable mel store"):
        mel_store.read(tmp_path / "gone")
