"""Your own recordings: what a good folder becomes, and how a bad one is refused."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.core import params
from ser.core.errors import InputError
from ser.corpora import folder, scan
from ser.data import manifest
from stages import collect

TONE = np.sin(np.arange(4_000) / 5) / 2
HOME = Path("recordings")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(params, "read", lambda key, kind: True)
    folder._rows.cache_clear()
    for name in ("anna/one.wav", "ben/two.wav"):
        (HOME / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(HOME / name, TONE, 16_000)


def table(*lines, header="file,speaker,emotion"):
    (HOME / "clips.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


def test_recordings_become_rows_of_the_catalogue():
    table("anna/one.wav,anna,anger,female,hello", "ben/two.wav,ben,calm,,", header="file,speaker,emotion,sex,text")
    collect.main()
    rows = scan.build(Path(), ["folder"]).set_index("clip")
    assert list(rows.index) == ["folder/anna-one", "folder/ben-two"]
    assert rows.loc["folder/anna-one", ["speaker", "sex", "emotion", "text", "intensity"]].tolist() == [
        "folder-anna",
        "female",
        "anger",
        "folder-hello",
        "normal",
    ]
    assert rows.loc["folder/ben-two", "text"] == "folder-ben-two.wav"  # a sentence of its own
    rows.reset_index().to_csv("catalogue.csv", index=False)
    assert len(manifest.load("catalogue.csv")) == 2


def test_a_corpus_that_is_not_selected_is_an_empty_folder(monkeypatch):
    monkeypatch.setattr(params, "read", lambda key, kind: False)
    collect.main()
    assert list(Path("data/corpora/folder").iterdir()) == []


@pytest.mark.parametrize(
    "lines, message",
    [
        (["anna/one.wav,anna,anger"], "recordings/ben/two.wav is not in clips.csv"),
        (["anna/one.wav,anna,anger", "ben/two.wav,ben,anger", "c.wav,c,anger"], "recordings/c.wav does not exist"),
        (["anna/one.wav,anna,angry"], "line 2: emotion 'angry'; known are anger, "),
        (["anna/one.wav,,anger"], "line 2: no speaker"),
        (["../one.wav,anna,anger"], "line 2: '../one.wav' is not a wav file inside the folder"),
        (["/etc/one.wav,anna,anger"], "line 2: '/etc/one.wav' is not a wav file inside the folder"),
        (["one.mp3,anna,anger"], "line 2: 'one.mp3' is not a wav file inside the folder"),
        (["anna/one.wav,anna,anger"] * 2, "anna/one.wav is listed twice"),
        (["anna/one.wav,anna,anger", "anna-one.wav,anna,anger"], "anna-one.wav is listed twice"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_left(lines, message):
    table(*lines)
    with pytest.raises(InputError) as error:
        collect.main()
    assert message in str(error.value)
    assert not Path("data/corpora/folder").exists()


@pytest.mark.parametrize(
    "text, message",
    [
        (None, "recordings/clips.csv is missing; it has one line per clip: file,speaker,emotion"),
        (b"", "not a CSV table in UTF-8"),
        (b"file,speaker,emotion\n\xff\xfe", "not a CSV table in UTF-8"),
        (b"file,speaker\n", "column emotion is missing"),
        (b"file,speaker,emotion\na.wav,anna,anger,\n", "lines have more cells than the header"),
        (b"file,speaker,emotion,mood\n", "unknown column mood; known are file, speaker, emotion, sex, text, intensity"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(text, message):
    if text is not None:
        (HOME / "clips.csv").write_bytes(text)
    with pytest.raises(InputError, match=message):
        collect.main()
