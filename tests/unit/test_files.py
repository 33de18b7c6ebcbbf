"""Walking through folders: companions, links, and what is said about files that are skipped."""

import os
from pathlib import Path

import pytest

from ser.core import files
from ser.core.errors import InputError
from tests.helpers.files import write_files


def walked(folder):
    return [path.relative_to(folder).as_posix() for path in files.walk(folder)]


def test_files_are_found_at_any_depth_in_a_fixed_order(tmp_path):
    write_files(tmp_path, dict.fromkeys(["b.wav", "a/deep/er/c.wav", "a/b.txt", "noext"], b""))
    assert walked(tmp_path) == ["b.wav", "noext", "a/b.txt", "a/deep/er/c.wav"]


def test_companions_are_left_out(tmp_path):
    junk = ["._a.wav", "sub/._b.wav", "__MACOSX/a.wav", "sub/__MACOSX/._a.wav", ".DS_Store", ".Trashes/a.wav"]
    write_files(tmp_path, dict.fromkeys(["a.wav", "sub/b.wav", *junk], b""))
    assert walked(tmp_path) == ["a.wav", "sub/b.wav"]


def test_a_hidden_folder_that_is_asked_for_is_walked(tmp_path):
    write_files(tmp_path, {".cache/a.wav": b""})
    assert walked(tmp_path / ".cache") == ["a.wav"]


def test_linked_folders_are_followed_once(tmp_path):
    write_files(tmp_path, {"elsewhere/a.wav": b"", "here/b.wav": b""})
    here = tmp_path / "here"
    (here / "link").symlink_to(tmp_path / "elsewhere")
    (here / "same").symlink_to(tmp_path / "elsewhere")
    (here / "circle").symlink_to(here)
    assert walked(here) == ["b.wav", "link/a.wav"]


def test_a_broken_link_is_left_to_its_reader_and_a_pipe_is_no_file(tmp_path):
    (tmp_path / "gone.wav").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.wav")
    assert walked(tmp_path) == ["gone.wav"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path}/gone: this folder cannot be listed"):
        list(files.walk(tmp_path / "gone"))


def test_what_is_skipped_is_counted_by_its_suffix():
    paths = [Path(name) for name in ("a.m4a", "B.M4A", "c.webm", "README")]
    assert files.skipped(Path("clips"), paths, [".wav", ".flac"]) == [
        "clips: skipped 2 .m4a, 1 .webm, 1 README; what is read are .flac .wav"
    ]
    assert files.skipped(Path("clips"), [], [".wav"]) == []
