import errno
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from ser.core.atomic import remove, replacing
from ser.core.errors import InputError
from ser.core.stage import progress, stage
from tests.helpers.project import ROOT


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def write(path, kind, text):
    """A file, or a folder with one file named after its content."""
    if kind == "file":
        path.write_text(text)
    else:
        path.mkdir()
        (path / text).write_text(text)


def written(kind, text):
    return {"out": text} if kind == "file" else {f"out/{text}": text}


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_written_appears_at_the_end_and_replaces_the_earlier(tmp_path, kind):
    out = tmp_path / "out"
    for text in ("first", "second"):
        before = tree(tmp_path)
        with replacing(out) as temporary:
            write(temporary, kind, text)
            assert temporary.parent == out.parent
            assert {path: text for path, text in tree(tmp_path).items() if not path.startswith(".")} == before
        assert tree(tmp_path) == written(kind, text)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_failure_keeps_the_earlier_and_leaves_nothing_else(tmp_path, kind, error):
    write(tmp_path / "out", kind, "earlier")
    with pytest.raises(error), replacing(tmp_path / "out") as temporary:
        write(temporary, kind, "half")
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert tree(tmp_path) == written(kind, "earlier")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_failure_without_an_earlier_output_leaves_nothing(tmp_path, kind):
    with pytest.raises(ValueError), replacing(tmp_path / "out") as temporary:
        write(temporary, kind, "half")
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_may_replace_a_file(tmp_path):
    write(tmp_path / "out", "file", "earlier")
    with replacing(tmp_path / "out") as temporary:
        write(temporary, "folder", "later")
    assert tree(tmp_path) == written("folder", "later")


def test_a_linked_folder_is_replaced_and_what_it_points_to_is_kept(tmp_path):
    (tmp_path / "real").mkdir()
    write(tmp_path / "real/out", "folder", "kept")
    (tmp_path / "out").symlink_to(tmp_path / "real/out")
    with replacing(tmp_path / "out") as temporary:
        write(temporary, "folder", "later")
    assert tree(tmp_path / "real") == {"out/kept": "kept"}
    assert tree(tmp_path / "out") == {"later": "later"}


def test_what_a_killed_process_left_is_removed(tmp_path):
    write(tmp_path / ".out.part", "folder", "left")
    with replacing(tmp_path / "out") as temporary:
        write(temporary, "folder", "later")
    assert tree(tmp_path) == written("folder", "later")


def test_a_removal_that_fails_half_way_leaves_nothing_under_the_name(tmp_path, monkeypatch):
    for name in "abc":
        write(tmp_path / name, "folder", name)

    def fails(folder):
        next(folder.iterdir()).unlink()
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", fails)
        with pytest.raises(MemoryError):
            remove(tmp_path / "a")
        with pytest.raises(MemoryError), replacing(tmp_path / "b") as temporary:
            write(temporary, "folder", "new")
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()
    remove(tmp_path / "a")
    with replacing(tmp_path / "b") as temporary:
        write(temporary, "folder", "new")
    assert tree(tmp_path) == {"b/new": "new", "c/c": "c"}


def test_folders_above_are_made(tmp_path):
    with replacing(tmp_path / "a/b/out") as temporary:
        temporary.write_text("text")
    assert tree(tmp_path) == {"a/b/out": "text"}


def test_paths_may_be_text(tmp_path):
    with replacing(str(tmp_path / "out")) as temporary:
        assert isinstance(temporary, Path)
        temporary.write_text("text")
    assert tree(tmp_path) == {"out": "text"}


def test_progress_gives_every_item_and_is_quiet_where_nobody_watches(capsys):
    assert list(progress([1, 2, 3], "reading", "clip")) == [1, 2, 3]
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal_shows_what_is_done_the_speed_and_the_time_left():
    code = """
from ser.core.stage import doing, progress
with doing("baseline, 1 of 5"):
    bar = progress(name="warm-up", unit="clip", total=64)
    bar.update(32); bar.start_t -= 1; bar.refresh(); bar.close()
"""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=theirs, check=True)
    shown = os.read(ours, 10_000).decode()
    assert re.search(r"baseline, 1 of 5, warm-up:  50%.* 32/64 \[00:01<00:01, [\d.]+clip/s\]", shown)


# Stages


def test_a_stage_gets_its_arguments():
    received = []
    stage(lambda *arguments: received.extend(arguments), "a", "b")
    assert received == ["a", "b"]


def failing(error):
    def main():
        raise error

    with pytest.raises(SystemExit) as exit_:
        stage(main)
    return exit_.value.code


def test_an_expected_failure_is_one_line():
    assert failing(InputError("x.wav: empty; remove it")) == "error: x.wav: empty; remove it"


def test_a_full_disk_says_what_to_do():
    message = failing(OSError(errno.ENOSPC, "No space left on device", "data/mels/frames.npy"))
    assert message == (
        "error: no space left on the disk while writing data/mels/frames.npy; "
        "free some space and run the same command again, finished work is kept"
    )
    assert "while writing outputs;" in failing(OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "denied", "x"), ValueError("a bug")])
def test_an_unexpected_failure_keeps_its_traceback(error):
    def main():
        raise error

    with pytest.raises(type(error)):
        stage(main)


def test_a_failing_stage_prints_one_line_and_exits_with_1(tmp_path):
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    result = subprocess.run(
        [sys.executable, "-m", "stages.split"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == "error: data/catalogue.csv does not exist; run `dvc repro catalogue` to make it\n"
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
