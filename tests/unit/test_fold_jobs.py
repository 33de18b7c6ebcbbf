import shutil
import sys
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml

from ser.core import fold_jobs, processes
from ser.core.errors import InputError
from ser.core.fold import Fold
from ser.core.params import Config


class TrainingConfig(Config):
    rate: float


FOLDS = [Fold(0, number, train=["a"], validation=["b"], test=["c"]) for number in range(3)]
FILES = ["data/catalogue.csv", "data/mels.npy"]
PARAMS = {"training": {"rate": 0.1}, "seed": 0, "emotions": ["anger", "neutral"], "export": {"arm": "baseline"}}
CODE = {
    "stages/fit.py": "from ser.core import stage\nfrom ser.training import loop",
    "ser/core/stage.py": "",
    "ser/training/loop.py": "import torch",
    "ser/generators/diffusion.py": "def fit():\n    from ser.generators import flow",
    "ser/generators/flow.py": "",
    "ser/generators/vae.py": "",
    "ser/reporting/figures.py": "import matplotlib",
}


class Stop(Exception):
    """Raised while the outputs are gathered."""


class ToyJob(fold_jobs.FoldJob):
    """Notes in `done` the folds that it does, and fails half-way through fold `failing`, or with `stop` at the end."""

    folds = FOLDS
    numbers = count()

    def __init__(self, folds=FOLDS, failing=None, error=RuntimeError, stop=False):
        super().__init__("baseline")
        self.training = self.read("training", TrainingConfig)
        self.seed = self.read("seed", int)
        self.emotions = self.read("emotions", list[str])
        self.inputs += FILES
        self.modules += ["stages.fit", "ser.generators.diffusion"]
        self.folds, self.failing, self.error, self.stop = folds, failing, error, stop
        self.notes, self.gathered = Path(f"notes-{next(self.numbers)}"), []
        self.notes.mkdir()

    @property
    def done(self):
        return sorted(int(path.name) for path in self.notes.iterdir())

    def run(self, fold, folder):
        (self.notes / str(fold.fold)).touch()
        (folder / "first").write_text(fold.name)
        if fold.fold == self.failing:
            raise self.error
        (folder / "second").write_text(fold.name)

    def gather(self, folders):
        if self.stop:
            raise Stop
        self.gathered = [(folder.name, (folder / "second").read_text()) for folder in folders]


@pytest.fixture(autouse=True, params=[1, 2], ids=["one core", "two cores"])
def project(request, tmp_path, monkeypatch):
    """A project of little code in the working folder, on a machine with so many cores."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(processes, "_cores", lambda: request.param)
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS))
    for path, text in {**dict.fromkeys([*FILES, "requirements.txt"], "text"), **CODE}.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)


def finish(job=None):
    """Run a job to its end."""
    job = job or ToyJob()
    fold_jobs.run(job)
    return job


def stop_before_the_end(**options):
    """Run a job whose folds are all finished, but not gathered."""
    with pytest.raises(Stop):
        fold_jobs.run(ToyJob(stop=True, **options))


def place():
    """The folder of finished folds."""
    return fold_jobs.ROOT / "baseline" / ToyJob().fingerprint()


ALL = [("0-0", "0-0"), ("0-1", "0-1"), ("0-2", "0-2")]


def test_every_fold_is_gathered_in_order():
    job = finish()
    assert job.gathered == ALL
    assert job.done == [0, 1, 2]


def test_finished_folds_are_not_done_again():
    stop_before_the_end()
    job = finish()
    assert job.gathered == ALL
    assert job.done == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_stop_half_way_keeps_what_is_finished_and_nothing_else(error):
    stopped = ToyJob(failing=1, error=error)
    with pytest.raises(error):
        fold_jobs.run(stopped)
    assert {1} <= set(stopped.done)
    finished = {path.name for path in place().iterdir() if path.is_dir()}
    assert finished == {f"0-{number}" for number in stopped.done} - {"0-1"}
    job = finish()
    assert job.gathered == ALL
    assert job.done == [number for number in range(3) if f"0-{number}" not in finished]


def test_what_a_killed_process_left_is_not_taken_for_finished():
    (place() / ".0-0.part").mkdir(parents=True)
    assert finish().done == [0, 1, 2]


def test_one_fold_is_finished_by_its_name_and_gathered_by_a_later_run():
    jobs = []

    def job(name):
        jobs.append(ToyJob())
        return jobs[-1]

    assert fold_jobs.missing(ToyJob()) == ["0-0", "0-1", "0-2"]
    for _ in range(2):
        fold_jobs.main(job, "baseline", "0-1")
    assert fold_jobs.missing(ToyJob()) == ["0-0", "0-2"]
    fold_jobs.main(job, "baseline")
    assert [each.done for each in jobs] == [[1], [], [0, 2]]
    assert [each.gathered for each in jobs] == [[], [], ALL]


def test_a_fold_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(InputError, match="^baseline has no fold 0-7; there are 0-0, 0-1, 0-2$"):
        fold_jobs.finish(ToyJob(), "0-7")


def test_a_missing_input_says_what_to_do():
    Path(FILES[1]).unlink()
    with pytest.raises(InputError, match=rf"^{FILES[1]} is missing; run `dvc repro` to make it, or `dvc pull`"):
        finish()


def test_a_removal_that_fails_half_way_does_not_leave_what_looks_finished(monkeypatch):
    def fails(folder):
        next(folder.rglob("second")).unlink()
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", fails)
        with pytest.raises(MemoryError):
            finish()
    job = finish()
    assert job.gathered == ALL
    assert job.done == [0, 1, 2]
    assert list(fold_jobs.ROOT.iterdir()) == []


def test_folds_may_be_added_later(capsys):
    stop_before_the_end(folds=FOLDS[:1])
    assert capsys.readouterr().out == ""
    assert finish().done == [1, 2]
    assert capsys.readouterr().out == "baseline: going on, 1 of 3 folds were finished before\n"


def test_once_gathered_the_folds_of_that_name_alone_are_removed():
    (fold_jobs.ROOT / "masked" / "0123456789abcdef").mkdir(parents=True)
    finish()
    assert [path.name for path in fold_jobs.ROOT.iterdir()] == ["masked"]
    assert finish().done == [0, 1, 2]


# What the result depends on


def set_params(**change):
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS | change))


def append(path, text="# changed"):
    with Path(path).open("a") as file:
        file.write(f"\n{text}\n")


@pytest.mark.parametrize(
    "change",
    [
        lambda: set_params(training={"rate": 0.2}),
        lambda: set_params(seed=1),
        lambda: set_params(emotions=["neutral", "anger"]),
        lambda: append(FILES[0]),
        lambda: append(FILES[1]),
        lambda: append("stages/fit.py"),
        lambda: append("ser/core/stage.py"),
        lambda: append("ser/training/loop.py"),
        lambda: append("ser/training/loop.py", "from ser.generators import vae"),
        lambda: append("ser/generators/diffusion.py"),
        lambda: append("ser/generators/flow.py"),
        lambda: append("requirements.txt"),
    ],
    ids=[
        "config",
        "seed",
        "emotions",
        "first file",
        "second file",
        "stage",
        "imported submodule",
        "other imported submodule",
        "new import",
        "chosen module",
        "what the chosen module imports in a function",
        "versions",
    ],
)
def test_a_change_of_what_it_is_made_from_means_doing_it_again(change):
    before = ToyJob().fingerprint()
    stop_before_the_end()
    change()
    assert ToyJob().fingerprint() != before
    assert finish().done == [0, 1, 2]


@pytest.mark.parametrize(
    "change",
    [
        lambda: set_params(export={"arm": "masked"}),
        lambda: set_params(study={"arms": []}),
        lambda: append("README.md"),
        lambda: append("data/other.csv"),
        lambda: append("ser/notes.txt"),
        lambda: append("ser/more.py"),
        lambda: append("ser/generators/vae.py"),
        lambda: append("ser/reporting/figures.py"),
        lambda: append("stages/gallery.py"),
    ],
    ids=[
        "params that are not read",
        "new params",
        "text",
        "other data",
        "no code",
        "new code",
        "another generator",
        "a plot",
        "another stage",
    ],
)
def test_a_change_of_anything_else_keeps_the_finished_folds(change):
    before = ToyJob().fingerprint()
    stop_before_the_end()
    change()
    assert ToyJob().fingerprint() == before
    assert finish().done == []


def test_the_choice_of_a_module_matters():
    job, other = ToyJob(), ToyJob()
    other.modules[-1] = "ser.generators.vae"
    assert job.fingerprint() != other.fingerprint()


def test_the_order_of_reading_and_the_place_of_the_project_do_not_matter(tmp_path, monkeypatch):
    job = ToyJob()
    before = job.fingerprint()
    shutil.copytree(tmp_path, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    job.params = dict(reversed(job.params.items()))
    assert job.fingerprint() == before


def test_the_module_of_a_job_is_that_of_its_stage_when_it_is_run_as_a_program(monkeypatch):
    assert ToyJob().modules[0] == __name__
    program = ModuleType("__main__")
    program.__spec__ = SimpleNamespace(name="stages.fit")
    monkeypatch.setitem(sys.modules, "__main__", program)
    monkeypatch.setattr(ToyJob, "__module__", "__main__")
    assert ToyJob().modules[0] == "stages.fit"
