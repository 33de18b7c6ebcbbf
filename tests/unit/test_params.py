"""Reading params.yaml: types, and messages that name the key."""

from pathlib import Path

import pytest
from pydantic import Field

from ser.core import params
from ser.core.errors import InputError
from ser.core.params import Config


class Inner(Config):
    rate: float = Field(gt=0)


class Outer(Config):
    name: str
    count: int
    share: float
    flag: bool
    inner: Inner | None
    sizes: list[int]


GOOD = """
audio:
  name: speech
  count: 3
  share: 0.5
  flag: true
  inner:
    rate: 1
  sizes:
    - 1
    - 2
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Path("params.yaml").write_text


def test_a_section_is_read_as_its_type(write):
    write(GOOD)
    expected = Outer(name="speech", count=3, share=0.5, flag=True, inner=Inner(rate=1.0), sizes=[1, 2])
    assert params.read("audio", Outer) == expected
    assert params.read("audio.inner.rate", float) == 1.0
    assert params.read("audio.sizes", list[int]) == [1, 2]


def test_an_optional_section_may_be_null(write):
    write(GOOD.replace("inner:\n    rate: 1", "inner: null"))
    assert params.read("audio", Outer).inner is None


@pytest.mark.parametrize(
    ("text", "number"), [("1e-4", 1e-4), ("1e-05", 1e-5), ("2.5E-7", 2.5e-7), ("1e+20", 1e20), (".5", 0.5), ("010", 10)]
)
def test_a_number_is_read_however_it_is_written(write, text, number):
    write(GOOD.replace("share: 0.5", f"share: {text}"))
    assert params.read("audio.share", float) == number


def test_settings_cannot_be_changed(write):
    write(GOOD)
    with pytest.raises(ValueError, match="frozen"):
        params.read("audio", Outer).count = 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("count: 3", "count: 3\n  speed: 9", "unknown key `audio.speed`"),
        ("count: 3", "count: 3\n  cuont: 3", "unknown key `audio.cuont`, did you mean `count`?"),
        ("rate: 1", "rate: 1\n    rates: 1", "unknown key `audio.inner.rates`, did you mean `rate`?"),
        ("  count: 3\n", "", "key `audio.count` is missing"),
        ("rate: 1", "{}", "key `audio.inner.rate` is missing"),
        ("count: 3", "count: '3'", "key `audio.count`: Input should be a valid integer, found '3'"),
        ("count: 3", "count: true", "key `audio.count`: Input should be a valid integer, found True"),
        ("count: 3", "count: 3.0", "key `audio.count`: Input should be a valid integer, found 3.0"),
        ("share: 0.5", "share: '0.5'", "key `audio.share`: Input should be a valid number, found '0.5'"),
        ("share: 0.5", "share: 1e-4x", "key `audio.share`: Input should be a valid number, found '1e-4x'$"),
        ("flag: true", "flag: yes", "key `audio.flag`: Input should be a valid boolean, found 'yes'"),
        ("flag: true", "flag: 1", "key `audio.flag`: Input should be a valid boolean, found 1"),
        ("name: speech", "name: 1", "key `audio.name`: Input should be a valid string, found 1"),
        ("rate: 1", "rate: 0", "key `audio.inner.rate`: Input should be greater than 0, found 0"),
        ("rate: 1", "rate: .nan", "key `audio.inner.rate`: .*, found nan"),
        ("- 2", "- two", "key `audio.sizes.1`: Input should be a valid integer, found 'two'"),
        ("audio:", "audio: 5\nmels:", "key `audio`: Input should be .*, found 5"),
        ("audio:", "mels:", "key `audio` is missing"),
        ("audio:", "adio:", "unknown key `adio`, did you mean `audio`?"),
        ("audio:", "x: 1\naudio:", "unknown key `x`"),
        ("audio:", "audio:\nmels:", "key `audio`: .* found None"),
    ],
)
def test_a_wrong_value_names_its_key(write, old, new, message):
    assert old in GOOD
    write(GOOD.replace(old, new))
    with pytest.raises(InputError, match=rf"^params.yaml: .*{message}"):
        params.read("audio", Outer)


def test_all_problems_are_named_at_once(write):
    write(GOOD.replace("count: 3", "cuont: 3").replace("flag: true", "flag: 1"))
    with pytest.raises(InputError) as error:
        params.read("audio", Outer)
    for problem in ("unknown key `audio.cuont`", "key `audio.count` is missing", "key `audio.flag`"):
        assert problem in str(error.value)


@pytest.mark.parametrize("key", ["audio.inner.rat", "audio.name.length"])
def test_a_missing_key_is_named(write, key):
    write(GOOD)
    with pytest.raises(InputError, match=f"params.yaml: key `{key}` is missing"):
        params.read(key, int)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a mapping of sections, found NoneType"),
        ("- 1\n- 2\n", "expected a mapping of sections, found list"),
        ("audio\n", "expected a mapping of sections, found str"),
        ("audio: [1, 2\n", "params.yaml is not valid YAML: .*line 2"),
        ("audio:\n  name: a\n name: b\n", "params.yaml is not valid YAML: .*line 3"),
        ("audio: \0\n", "params.yaml is not valid YAML: "),
        ("audio: 1\naudio: 2\n", "params.yaml is not valid YAML: line 2, column 1: found duplicate key .audio."),
        ("audio: !!python/object:os.system x\n", "params.yaml is not valid YAML: line 1, column 8: .* tag .*os.system"),
        ("audio: !speech x\n", "params.yaml is not valid YAML: line 1, column 8: .* tag '!speech'"),
        ("audio: !!bool x\n", "params.yaml is not valid YAML: "),
        ("? [{a: 1}]\n: 2\n", "params.yaml is not valid YAML: "),
        ("audio: 2001-99-99\n", "params.yaml is not valid YAML: "),
    ],
)
def test_a_file_that_is_no_mapping(write, text, message):
    write(text)
    with pytest.raises(InputError, match=message) as error:
        params.read("audio", Outer)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_text(write):
    Path("params.yaml").write_bytes(b"audio: \xff\xfe\n")
    with pytest.raises(InputError, match=r"params.yaml is not valid YAML: "):
        params.read("audio", Outer)


def test_no_file(write):
    with pytest.raises(InputError, match=r"params.yaml not found: run this from the root of the repository"):
        params.read("audio", Outer)
