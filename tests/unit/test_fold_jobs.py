from pathlib import Path

import pytest

from ser.core import fold_jobs
from ser.core.errors import InputError
from ser.core.params import Section
from ser.data.splits import Fold


class Settings(Section):
    rate: float


SETTINGS = [Settings(rate=0.1), 0, ["anger", "neutral"]]
FOLDS = [Fold(0, number, train=["a"], validation=["b"], test=["c"]) for number in range(3)]
FILES = ["data/catalogue.csv", "data/mels.npy"]


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in [
        *FILES,
        "ser/training.py",
        "ser/generators/diffusion.py",
        "stages/fit.py",
        "requirements.txt",
    ]:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(path)


def work(done, failing=None, error=RuntimeError):
    """Work that notes in `done` the folds it does, and fails half-way through fold `failing`."""

    def run(fold, folder):
        done.append(fold.fold)
        (folder / "first").write_text(fold.name)
        if fold.fold == failing:
            raise error
        (folder / "second").write_text(fold.name)

    return run


class Stop(Exception):
    """Raised while the outputs are gathered."""


def finish(run, settings=SETTINGS, folds=FOLDS, stop=False):
    """Run the units and return what was gathered from their folders; with `stop`, fail before that."""
    gathered = []

    def gather(folders):
        if stop:
            raise Stop
        gathered.extend((folder.name, (folder / "second").read_text()) for folder in folders)

    if stop:
        with pytest.raises(Stop):
            fold_jobs.run("baseline", folds, run, settings, FILES, gather)
    else:
        fold_jobs.run("baseline", folds, run, settings, FILES, gather)
    return gathered


ALL = [("0-0", "0-0"), ("0-1", "0-1"), ("0-2", "0-2")]


def test_every_fold_is_gathered_in_order():
    assert finish(work(done := [])) == ALL
    assert done == [0, 1, 2]


def test_finished_units_are_not_done_again():
    finish(work([]), stop=True)
    assert finish(work(done := [])) == ALL
    assert done == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_stop_half_way_keeps_what_is_finished_and_nothing_else(error):
    with pytest.raises(error):
        finish(work(done := [], failing=1, error=error))
    assert done == [0, 1]
    place = fold_jobs.ROOT / "baseline" / fold_jobs.fingerprint(SETTINGS, FILES)
    assert [folder.name for folder in place.iterdir() if folder.is_dir()] == ["0-0"]
    assert finish(work(done := [])) == ALL
    assert done == [1, 2]


def test_what_a_killed_process_left_is_not_taken_for_finished():
    place = fold_jobs.ROOT / "baseline" / fold_jobs.fingerprint(SETTINGS, FILES)
    (place / ".0-0.part").mkdir(parents=True)
    finish(work(done := []))
    assert done == [0, 1, 2]


@pytest.mark.parametrize(
    "change",
    [
        lambda: [Settings(rate=0.2), *SETTINGS[1:]],
        lambda: [SETTINGS[0], 1, SETTINGS[2]],
        lambda: [*SETTINGS[:2], ["neutral", "anger"]],
        lambda: Path(FILES[0]).write_text("other clips") and SETTINGS,
        lambda: Path(FILES[1]).write_text("other mels") and SETTINGS,
        lambda: Path("ser/training.py").write_text("other code") and SETTINGS,
        lambda: Path("ser/generators/diffusion.py").write_text("other code") and SETTINGS,
        lambda: Path("ser/more.py").write_text("new code") and SETTINGS,
        lambda: Path("stages/fit.py").write_text("other code") and SETTINGS,
        lambda: Path("requirements.txt").write_text("other versions") and SETTINGS,
    ],
    ids=[
        "settings",
        "seed",
        "emotions",
        "first file",
        "second file",
        "code",
        "generator",
        "new code",
        "stage",
        "versions",
    ],
)
def test_anything_else_it_is_made_from_means_doing_it_again(change):
    before = fold_jobs.fingerprint(SETTINGS, FILES)
    finish(work([]), stop=True)
    settings = change()
    assert fold_jobs.fingerprint(settings, FILES) != before
    finish(work(done := []), settings)
    assert done == [0, 1, 2]


def test_what_it_is_not_made_from_does_not_matter():
    before = fold_jobs.fingerprint(SETTINGS, FILES)
    Path("README.md").write_text("new")
    Path("ser/notes.txt").write_text("new")
    assert fold_jobs.fingerprint([Settings(rate=0.1), 0, ["anger", "neutral"]], FILES) == before


def test_a_missing_input_says_what_to_do():
    Path(FILES[1]).unlink()
    with pytest.raises(InputError, match=rf"^{FILES[1]} is missing; run `dvc repro` to make it, or `dvc pull`"):
        finish(work([]))


def test_a_removal_that_fails_half_way_does_not_leave_what_looks_finished(monkeypatch):
    def fails(folder):
        next(folder.rglob("second")).unlink()
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", fails)
        with pytest.raises(MemoryError):
            finish(work([]))
    assert finish(work(done := [])) == ALL
    assert done == [0, 1, 2]
    assert list(fold_jobs.ROOT.iterdir()) == []


def test_folds_may_be_added_later(capsys):
    finish(work([]), folds=FOLDS[:1], stop=True)
    assert capsys.readouterr().out == ""
    finish(work(done := []))
    assert done == [1, 2]
    assert capsys.readouterr().out == "baseline: going on, 1 of 3 folds were finished before\n"


def test_once_gathered_the_units_of_that_name_alone_are_removed():
    (fold_jobs.ROOT / "masked" / "0123456789abcdef").mkdir(parents=True)
    finish(work([]))
    assert [path.name for path in fold_jobs.ROOT.iterdir()] == ["masked"]
    finish(work(done := []))
    assert done == [0, 1, 2]
