import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from ser.core import params
from ser.core.errors import InputError
from ser.corpora import emodb, ravdess, scan
from ser.data import manifest
from stages import catalogue as stage
from tests.helpers.audio import STREAMS, wav_bytes

CLIPS = Path("data/corpora/emodb/wav")
SELECTED = {"emodb": True, "ravdess": False, "demo": False, "folder": False}
TONE = np.sin(np.arange(4_000) / 5) / 2


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """An empty project with params.yaml selecting EmoDB."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(params, "read", lambda key, kind: params.check(SELECTED, kind, key))
    CLIPS.mkdir(parents=True)


def write(name, samples=TONE, rate=16_000, **options):
    soundfile.write(CLIPS / name, samples, rate, **options)


# File names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("03a01Fa", ("emodb-03", "male", "happiness", "emodb-a01")),
        ("08b10Wc", ("emodb-08", "female", "anger", "emodb-b10")),
        ("16a02Lb", ("emodb-16", "female", "boredom", "emodb-a02")),
        ("14a07Aa", ("emodb-14", "female", "fear", "emodb-a07")),
        ("15b01Na", ("emodb-15", "male", "neutral", "emodb-b01")),
        ("10a01Ea", ("emodb-10", "male", "disgust", "emodb-a01")),
        ("12a01Ta", ("emodb-12", "male", "sadness", "emodb-a01")),
    ],
)
def test_emodb_names(name, expected):
    keys = ("speaker", "sex", "emotion", "text", "intensity")
    assert emodb.parse(Path(f"{name}.wav")) == dict(zip(keys, (*expected, "normal"), strict=True))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("03-01-01-01-01-01-01", ("ravdess-01", "male", "neutral", "ravdess-01", "normal")),
        ("03-01-02-01-02-01-02", ("ravdess-02", "female", "calm", "ravdess-02", "normal")),
        ("03-01-03-02-02-02-24", ("ravdess-24", "female", "happiness", "ravdess-02", "strong")),
        ("03-01-04-02-01-02-23", ("ravdess-23", "male", "sadness", "ravdess-01", "strong")),
        ("03-01-05-01-01-01-10", ("ravdess-10", "female", "anger", "ravdess-01", "normal")),
        ("03-01-06-01-01-01-10", ("ravdess-10", "female", "fear", "ravdess-01", "normal")),
        ("03-01-07-01-01-01-10", ("ravdess-10", "female", "disgust", "ravdess-01", "normal")),
        ("03-01-08-01-01-01-10", ("ravdess-10", "female", "surprise", "ravdess-01", "normal")),
    ],
)
def test_ravdess_names(name, expected):
    keys = ("speaker", "sex", "emotion", "text", "intensity")
    assert ravdess.parse(Path(f"{name}.wav")) == dict(zip(keys, expected, strict=True))


@pytest.mark.parametrize(
    "name", ["04a01Fa.wav", "03a01Xa.wav", "03a1Fa.wav", "03a01F.wav", "03a01Fa.mp3", "x03a01Fa.wav"]
)
def test_other_names_are_not_emodb(name):
    with pytest.raises(InputError, match=rf"wav/{name}: not an EmoDB file name; expected .* 03a01Fa.wav"):
        emodb.parse(Path("wav") / name)


@pytest.mark.parametrize(
    "name",
    [
        "01-01-03-01-01-01-01.wav",  # with video
        "03-02-03-01-01-01-01.wav",  # song
        "03-01-09-01-01-01-01.wav",
        "03-01-00-01-01-01-01.wav",
        "03-01-03-03-01-01-01.wav",
        "03-01-03-01-01-01-25.wav",
        "03-01-03-01-01-01-00.wav",
        "03-01-03-01-01-01.wav",
    ],
)
def test_other_names_are_not_ravdess_speech(name):
    with pytest.raises(InputError, match=rf"{name}: not a RAVDESS speech file name; expected 03-01"):
        ravdess.parse(Path(name))


# Building


def test_one_row_per_clip():
    write("08a01Wa.wav", np.tile(TONE, 2))
    write("03a01Fa.wav")
    table = scan.build(Path(), ["emodb"])
    assert tuple(table.columns) == manifest.COLUMNS
    assert list(table["clip"]) == ["emodb/03a01Fa", "emodb/08a01Wa"]
    assert list(table["path"]) == ["data/corpora/emodb/wav/03a01Fa.wav", "data/corpora/emodb/wav/08a01Wa.wav"]
    assert list(table["seconds"]) == [0.25, 0.5]
    assert set(table["sample_rate"]) == {16_000}


def test_every_unusable_file_is_listed_with_its_reason():
    write("03a01Fa.wav")
    write("03a01Na.wav", np.zeros(4_000))
    write("03a01Wa.wav", TONE * 1e-4)
    write("03a02Fa.wav", np.zeros(0))
    write("03a02Na.wav", np.append(TONE, np.nan), subtype="FLOAT")
    write("03a02Wa.wav", np.append(TONE, np.inf), subtype="FLOAT")
    write("16a01Na.wav")
    write("angry.wav")
    (CLIPS / "03a04Fa.wav").write_bytes(b"no audio at all")
    (CLIPS / "03a04Na.wav").touch()
    write("03a04Wa.wav")
    (CLIPS / "03a04Wa.wav").write_bytes((CLIPS / "03a04Wa.wav").read_bytes()[:-3_000])
    (CLIPS / "more").mkdir()
    shutil.copy(CLIPS / "03a01Fa.wav", CLIPS / "more")
    with pytest.raises(InputError) as error:
        scan.build(Path(), ["emodb"])
    first, *lines = str(error.value).splitlines()
    assert first == "11 of 12 files cannot be used; repair or remove them:"
    reasons = dict(line.strip().removeprefix(f"{CLIPS}/").split(": ", 1) for line in lines)
    assert reasons.pop("angry.wav").startswith("not an EmoDB file name; expected")
    assert reasons.pop("03a04Fa.wav").startswith("not a readable sound file (")
    assert reasons.pop("03a04Na.wav").startswith("not a readable sound file (")
    assert reasons == {
        "03a01Na.wav": "silent, its peak is 0.0e+00 of full scale",
        "03a01Wa.wav": "silent, its peak is 6.1e-05 of full scale",
        "03a02Fa.wav": "empty, no samples",
        "03a02Na.wav": "holds samples that are not finite (NaN or infinity)",
        "03a02Wa.wav": "holds samples that are not finite (NaN or infinity)",
        "03a04Wa.wav": "truncated, 3,000 bytes of audio are missing",
        "03a01Fa.wav": "another file is named emodb/03a01Fa too",
        "more/03a01Fa.wav": "another file is named emodb/03a01Fa too",
    }


def test_streams_and_other_codecs_are_measured():
    for letter, sizes in zip("FNWAET", STREAMS.values()):
        (CLIPS / f"03a01{letter}a.wav").write_bytes(wav_bytes(TONE, 16_000, **sizes))
    write("03a02Fa.wav", np.tile(TONE, 2), 8_000, subtype="GSM610")
    table = scan.build(Path(), ["emodb"])
    assert len(table) == 7
    assert set(table["seconds"][:6]) == {0.25}
    assert table["seconds"][6] == pytest.approx(1, abs=0.1)


def test_what_is_odd_about_a_clip_is_noted(capsys):
    write("03a01Fa.wav", np.stack([TONE, -TONE], axis=1))
    write("03a01Na.wav", TONE + 0.3)
    write("03a01Wa.wav")
    scan.build(Path(), ["emodb"])
    notices = capsys.readouterr().err.splitlines()
    assert len(notices) == 2
    assert notices[0].startswith(f"notice: {CLIPS}/03a01Fa.wav: its channels cancel each other")
    assert notices[1].startswith(f"notice: {CLIPS}/03a01Na.wav: a constant offset of 30")


def test_companions_are_no_clips():
    write("03a01Fa.wav")
    (CLIPS / "__MACOSX").mkdir()
    for name in ("._03a01Fa.wav", "__MACOSX/03a01Fa.wav", "__MACOSX/._03a01Fa.wav"):
        (CLIPS / name).write_bytes(b"\x00\x05\x16\x07")
    assert list(scan.build(Path(), ["emodb"])["clip"]) == ["emodb/03a01Fa"]


def test_a_corpus_without_clips_says_how_to_get_them():
    with pytest.raises(InputError, match="corpora/emodb holds no wav files; run `dvc repro download@emodb`"):
        scan.build(Path(), ["emodb"])


def test_identical_files_are_found():
    write("03a01Fa.wav")
    write("03a01Na.wav")
    write("03a01Wa.wav", TONE / 2)
    assert manifest.duplicates(scan.build(Path(), ["emodb"])) == [["emodb/03a01Fa", "emodb/03a01Na"]]


# Reading


@pytest.fixture
def written():
    for name in ("03a01Fa", "03a01Na", "03a01Wa"):
        write(f"{name}.wav")
    stage.main()
    return Path("data/catalogue.csv")


def test_what_is_written_is_read_again(written):
    pd.testing.assert_frame_equal(manifest.load(written), scan.build(Path(), ["emodb"]))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("speaker", "talker", "column speaker is missing; expected are clip, corpus"),
        ("emodb/03a01Wa", "emodb/03a01Fa", "line 4, column clip: 'emodb/03a01Fa'; expected each clip once"),
        ("neutral", "bored", "line 3, column emotion: 'bored'; expected one of anger, boredom"),
        (",0.250000", ",long", "line 2, column seconds: 'long'; expected a duration above 0"),
        (",0.250000", ",-1", "line 2, column seconds: '-1'; expected a duration above 0"),
        (",16000,", ",,", "line 2, column sample_rate: ''; expected a rate in Hz above 0"),
    ],
)
def test_a_catalogue_that_was_edited_wrongly_names_column_and_line(written, old, new, message):
    text = written.read_text()
    assert old in text
    written.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=f"data/catalogue.csv.*{message}"):
        manifest.load(written)


@pytest.mark.parametrize(
    ("old", "new"),
    [("emodb-03", "emodb-03 "), ("emodb-a01", " emodb-a01"), ("03a01Wa,", "03a01Wa ,")],
)
def test_identifiers_are_stripped(written, old, new):
    before = manifest.load(written)
    lines = written.read_text().splitlines()
    lines[3] = lines[3].replace(old, new)
    written.write_text("\n".join(lines))
    pd.testing.assert_frame_equal(manifest.load(written), before)


@pytest.mark.parametrize(
    ("spelling", "quoted"),
    [("EmoDB-03", "'EmoDB-03'"), ("emodb-03\u200b", r"'emodb-03\\u200b'"), ("emodb\u00ad-03", r"'emodb\\xad-03'")],
)
def test_names_that_look_alike_are_refused_with_both_spellings(written, spelling, quoted):
    lines = written.read_text().splitlines()
    lines[3] = lines[3].replace(",emodb-03,", f",{spelling},")
    written.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match=f"data/catalogue.csv: speaker 'emodb-03' and {quoted} differ by no more than"):
        manifest.load(written)


def test_reported_lines_are_those_of_the_file(written):
    text = written.read_text().replace("\n", "\n\n").replace("normal", '"nor\nmal"').replace(",neutral,", ",bored,")
    written.write_text(text)
    line = next(number for number, line in enumerate(text.splitlines(), 1) if ",bored," in line)
    assert line == 6
    with pytest.raises(InputError, match=f"data/catalogue.csv, line {line}, column emotion: 'bored'"):
        manifest.load(written)


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_another_separator_is_named(written, separator, name):
    written.write_text(written.read_text().replace(",", separator))
    with pytest.raises(InputError, match=f"data/catalogue.csv: its cells are separated by {name}; expected are commas"):
        manifest.load(written)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("anna", "anna ", True),
        ("anna", "Anna", True),
        ("an na", "an\xa0\tna", True),
        ("anna", "an\u200bna", True),
        ("J\u00fcrgen", "Ju\u0308rgen", True),
        ("Stra\u00dfe", "STRASSE", True),
        ("anna", "ann", False),
        ("an na", "anna", False),
        ("J\u00fcrgen", "Jurgen", False),
    ],
)
def test_names_are_the_same_for_people(one, other, same):
    assert (manifest.identity(one) == manifest.identity(other)) == same


def test_no_catalogue():
    with pytest.raises(InputError, match="data/catalogue.csv does not exist; run `dvc repro catalogue`"):
        manifest.load(Path("data/catalogue.csv"))


@pytest.mark.parametrize("text", [b"", b"a,b\n1,2,3,4\n5\n", b"\xff\xfe\x00"])
def test_no_table(text):
    Path("catalogue.csv").write_bytes(text)
    with pytest.raises(InputError, match="catalogue.csv: "):
        manifest.load(Path("catalogue.csv"))


# The stage


def test_the_stage_sums_up_each_corpus_and_reports_identical_files(written, capsys):
    stage.main()
    assert capsys.readouterr().out.splitlines() == [
        "emodb: 3 clips, 1 speakers; anger 1, happiness 1, neutral 1",
        "notice: the same bytes under several names: emodb/03a01Fa, emodb/03a01Na, emodb/03a01Wa",
    ]


def test_the_catalogue_is_the_same_each_time(written):
    before = written.read_bytes()
    stage.main()
    assert written.read_bytes() == before


def test_a_failure_leaves_the_earlier_catalogue(written):
    before = written.read_bytes()
    (CLIPS / "03a01Fa.wav").write_bytes(b"")
    with pytest.raises(InputError, match="1 of 3 files cannot be used"):
        stage.main()
    assert written.read_bytes() == before
    assert [path.name for path in Path("data").iterdir() if path.is_file()] == ["catalogue.csv"]


def test_no_corpus_selected(monkeypatch):
    monkeypatch.setattr(params, "read", lambda key, kind: params.check(dict.fromkeys(SELECTED, False), kind, key))
    with pytest.raises(InputError, match="params.yaml: `corpora`: none is selected"):
        stage.main()
