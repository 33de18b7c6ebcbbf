"""Your own recordings: what a good folder becomes, and how a bad one is refused."""

import unicodedata
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
        (b"file;speaker;emotion\n", "clips.csv: its cells are separated by semicolons; expected are commas"),
        (b"file\tspeaker\temotion\n", "clips.csv: its cells are separated by tabs; expected are commas"),
        (b"file,speaker,emotion,speaker\n", "clips.csv: column 'speaker' occurs twice"),
        (b'file,speaker,emotion\n"a.wav,anna,anger\n', "not a CSV table in UTF-8 .line 2: unexpected end of data"),
        (b"file,speaker,emotion\na.wav,anna,anger,\n", "line 2: more cells than the header has"),
        (
            b"file,speaker,emotion,mood\n",
            "unknown column 'mood'; known are file, speaker, emotion, sex, text, intensity",
        ),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(text, message):
    if text is not None:
        (HOME / "clips.csv").write_bytes(text)
    with pytest.raises(InputError, match=message):
        collect.main()


# Names


def speakers():
    collect.main()
    return scan.build(Path(), ["folder"])["speaker"].tolist()


def test_space_around_a_name_is_no_part_of_it():
    table("anna/one.wav , anna ,anger", "ben/two.wav,anna,\tanger\xa0", header=" file,speaker , emotion")
    assert speakers() == ["folder-anna"] * 2


def test_names_with_composed_and_decomposed_letters_are_the_same():
    table("anna/one.wav,J\u00fcrgen,anger", "ben/two.wav,Ju\u0308rgen,anger")
    assert speakers() == ["folder-J\u00fcrgen"] * 2


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_table_fits_names_on_disk_in_either_form(form):
    (HOME / "ben/two.wav").unlink()
    folder_name = unicodedata.normalize(form, "j\u00fcrgen")
    (HOME / folder_name).mkdir()
    soundfile.write(HOME / folder_name / unicodedata.normalize(form, "m\u00fcde.wav"), TONE, 16_000)
    other = unicodedata.normalize({"NFC": "NFD", "NFD": "NFC"}[form], "j\u00fcrgen/m\u00fcde.wav")
    table("anna/one.wav,anna,anger", f"{other},ben,anger")
    collect.main()
    assert list(scan.build(Path(), ["folder"])["clip"]) == ["folder/anna-one", "folder/j\u00fcrgen-m\u00fcde"]


def test_a_corpus_whose_disk_decomposes_names_is_catalogued():
    table("anna/one.wav,anna,anger", "ben/two.wav,ben,anger")
    (HOME / "ben/two.wav").rename(HOME / "ben/zw\u00f6lf.wav")
    table("anna/one.wav,anna,anger", "ben/zw\u00f6lf.wav,ben,anger")
    collect.main()
    copy = Path("data/corpora/folder")
    (copy / "ben-zw\u00f6lf.wav").rename(copy / "ben-zwo\u0308lf.wav")
    assert list(scan.build(Path(), ["folder"])["clip"]) == ["folder/anna-one", "folder/ben-zw\u00f6lf"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["anna/one.wav,anna,anger,,", "ben/two.wav,Anna,anger,,"], "speaker 'anna' and 'Anna' differ by no more than"),
        (["anna/one.wav,anna,anger,,", "ben/two.wav,anna\u200b,anger,,"], r"speaker 'anna' and 'anna\u200b' differ"),
        (["anna/one.wav,anna,anger,,", "ben/two.wav,an\u00adna,anger,,"], r"speaker 'anna' and 'an\xadna' differ"),
        (["anna/one.wav,a b,anger,,", "ben/two.wav,a\u00a0b,anger,,"], r"speaker 'a b' and 'a\xa0b' differ"),
        (["anna/one.wav,anna,anger,Male,", "ben/two.wav,ben,anger,male,"], "sex 'Male' and 'male' differ"),
        (["anna/one.wav,anna,anger,,kids", "ben/two.wav,ben,anger,,Kids"], "text 'kids' and 'Kids' differ"),
        (["anna/one.wav,anna,anger,,", "Anna/One.wav,ben,anger,,"], "file 'anna-one.wav' and 'Anna-One.wav' differ"),
        (["anna/one.wav,anna,Anger,,"], "line 2: emotion 'Anger'; known are anger, "),
        (["anna/one.wav,anna,anger\u200b,,"], r"line 2: emotion 'anger\u200b'; known are anger, "),
    ],
)
def test_names_that_look_alike_are_refused_with_both_spellings(lines, message):
    table(*lines, header="file,speaker,emotion,sex,text")
    with pytest.raises(InputError) as error:
        collect.main()
    assert message in str(error.value)


def test_two_files_whose_names_look_alike_are_refused():
    for name in ("m\u00fcde.wav", "mu\u0308de.wav"):
        soundfile.write(HOME / "ben" / name, TONE, 16_000)
    table("anna/one.wav,anna,anger", "ben/two.wav,ben,anger", "ben/m\u00fcde.wav,ben,anger")
    with pytest.raises(InputError) as error:
        collect.main()
    assert r"the files 'recordings/ben/mu\u0308de.wav' and 'recordings/ben/m\xfcde.wav' differ" in str(error.value)


# Lines and files


def test_blank_lines_and_line_breaks_in_cells_do_not_shift_the_lines_that_are_reported():
    (HOME / "clips.csv").write_text(
        'file,speaker,emotion,text\r\n\r\nanna/one.wav,anna,anger,"two\r\nlines"\r\n,,,\r\nben/two.wav,ben,angry\r\n'
    )
    with pytest.raises(InputError, match="line 6: emotion 'angry'"):
        collect.main()


def test_a_byte_order_mark_is_no_part_of_the_table():
    (HOME / "clips.csv").write_text(
        "file,speaker,emotion\nanna/one.wav,anna,anger\nben/two.wav,ben,anger\n", encoding="utf-8-sig"
    )
    assert speakers() == ["folder-anna", "folder-ben"]


def test_companions_are_not_recordings(capsys):
    table("anna/one.wav,anna,anger", "ben/two.wav,ben,anger")
    (HOME / "__MACOSX").mkdir()
    for name in ("anna/._one.wav", "._clips.csv", ".DS_Store", "__MACOSX/one.wav"):
        (HOME / name).write_bytes(b"\x00\x05\x16\x07")
    assert speakers() == ["folder-anna", "folder-ben"]
    assert capsys.readouterr().err == ""


def test_linked_folders_and_upper_case_suffixes_are_seen_and_other_files_are_counted(capsys, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    soundfile.write(tmp_path / "elsewhere/THREE.WAV", TONE, 16_000)
    (HOME / "carl").symlink_to(tmp_path / "elsewhere")
    for name in ("anna/one.m4a", "notes.txt"):
        (HOME / name).write_bytes(b"")
    table("anna/one.wav,anna,anger", "ben/two.wav,ben,anger")
    with pytest.raises(InputError, match=r"recordings/carl/THREE.WAV is not in clips.csv"):
        collect.main()
    assert capsys.readouterr().err == "notice: recordings: skipped 1 .m4a, 1 .txt; what is read are .wav\n"
    table("anna/one.wav,anna,anger", "ben/two.wav,ben,anger", "carl/THREE.WAV,carl,anger")
    assert speakers() == ["folder-anna", "folder-ben", "folder-carl"]


def test_a_clip_in_the_corpus_that_no_line_describes_is_named():
    table("anna/one.wav,anna,anger", "ben/two.wav,ben,anger")
    collect.main()
    soundfile.write("data/corpora/folder/three.wav", TONE, 16_000)
    with pytest.raises(InputError, match="three.wav: not in data/corpora/folder/clips.csv; run `dvc repro collect`"):
        scan.build(Path(), ["folder"])
