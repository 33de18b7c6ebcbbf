"""Named experiments: their files, and how they are run."""

import argparse
import json
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
from dvc.repo import Repo

from scripts import copies, experiment, named
from scripts.overrides import flattened, merged, override
from ser import schema
from ser.core import params
from ser.core.errors import InputError
from tests.helpers.project import ROOT

COMMITTED = params.load(ROOT / "params.yaml")
EXPERIMENTS = named.experiments()
REPLICATIONS = sorted((named.FOLDER / "replications").glob("*.yaml"))
WITHOUT_LINK = {"vae_latent_diffusion"}  # its material names neither authors nor an address


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_valid_and_says_what_it_is_for(name):
    experiment = EXPERIMENTS[name]
    schema.check(merged(COMMITTED, experiment.changes))
    assert experiment.title and experiment.question.endswith("?")
    assert experiment.hours is None or experiment.hours > 0


def test_every_file_is_an_experiment_a_series_or_an_ablation():
    paths = [path.relative_to(named.FOLDER) for path in named.FOLDER.rglob("*") if path.is_file()]
    files = {path for path in paths if path.parent.name != "folds"}
    assert {path.suffix for path in set(paths) - files} == {".csv"}
    assert {path.suffix for path in files} == {".yaml"}
    assert {path.parent.name for path in files} == {"", "study", "ablations", "replications"}
    names = [path.stem for path in files if path.parent.name != "ablations"]
    assert len(set(names)) == len(names)
    series = {name: list(experiment.members) for name, experiment in named.study().items() if experiment.members}
    reduced = {f"{path.stem}_{end}" for path in REPLICATIONS for end in ("reduced", "reduced_apart")}
    assert set(EXPERIMENTS) == {*names, *chain(*series.values()), *reduced} - series.keys()
    assert {path.stem for path in files} - set(names) == set(named.ablations())


@pytest.mark.parametrize("path", REPLICATIONS, ids=lambda path: path.stem)
def test_a_replication_says_what_it_reproduces_and_where_that_is(path):
    replication = named.load(path, named.Replication)
    assert replication.reproduces and replication.differences and replication.expected
    if path.stem in WITHOUT_LINK:
        assert replication.link is None and replication.authors is None
    else:
        assert replication.link.startswith("https://") and replication.authors


@pytest.mark.parametrize("path", REPLICATIONS, ids=lambda path: path.stem)
def test_a_reduced_replication_keeps_what_is_compared_and_its_parts_differ_in_the_split_alone(path):
    full, at_random, apart = (EXPERIMENTS[f"{path.stem}{end}"].changes for end in ("", "_reduced", "_reduced_apart"))
    for changes in (at_random, apart):
        assert all(changes[key] == full[key] for key in ("study", "emotions", "arms", "corpora") if key in full)
        assert changes["training"]["epochs"] < merged(COMMITTED, full)["training"]["epochs"]
    assert merged(at_random, {"split": {"protocol": "speaker"}}) == apart
    assert merged(apart, {"split": {"protocol": "random"}}) == at_random


def test_the_published_recipe_is_that_of_the_arm_masked():
    replication = EXPERIMENTS["resnet50_masking_vs_diffusion"]
    policy = merged(COMMITTED, replication.changes)["augmentation"]["masked"]
    assert policy == {
        "probability": 0.7,
        "time_mask": 0.1,
        "frequency_mask": 0.15,
        "shift": 0.1,
        "noise": 0.01,
        "scale": 0.1,
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title:", "titel:", "unknown key `titel`; known are title, question, hours, expected,"),
        ("title:", "titel:", "key `title` is missing"),
        ("hours: ", "hours: short #", "key `hours`: Input should be a valid number"),
        ("changes:", "authors: A. Nother\nchanges:", "unknown key `authors`; known are title"),
        ("changes:", "published: [{system: A, ua: 1.0, wa: null}]\nchanges:", "key `published.0.source` is missing"),
        ("changes:", "members: {a: {titel: A, changes: {}}}\nchanges:", "unknown key `members.a.titel`"),
        ("changes:", "changes: {", "is not valid YAML"),
    ],
)
def test_a_typo_is_refused_with_the_name_of_the_file(old, new, message, tmp_path, monkeypatch):
    text = (named.FOLDER / "study/text.yaml").read_text()
    path = tmp_path / "experiments/study/text.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text.replace(old, new))
    monkeypatch.setattr(named, "FOLDER", tmp_path / "experiments")
    with pytest.raises(InputError) as error:
        named.experiments()
    assert str(error.value).startswith("experiments/study/text.yaml") and message in str(error.value)


@pytest.mark.parametrize("name", ["synthetic", "real_data"])
def test_the_members_of_a_series_are_experiments_of_the_amount_in_their_name(name):
    series = named.study()[name]
    assert len(series.members) > 1
    for member in series.members:
        experiment = EXPERIMENTS[member]
        values = merged(COMMITTED, experiment.changes)
        assert values["study"] == merged(COMMITTED, series.changes)["study"]
        share = values["arms"]["vae"]["share"]
        per_cent = 100 * {"synthetic": share / (1 - share), "real_data": values["split"]["training"]}[name]
        prefix, _, amount = member.rpartition("_")
        assert prefix == name and per_cent == pytest.approx(int(amount), rel=0.01)
        assert f"{amount} %" in experiment.title and experiment.hours == series.hours


def test_changes_replace_what_they_name_and_nothing_else():
    values = {"a": {"b": 1, "c": [1, 2]}, "d": 2}
    assert merged(values, {"a": {"c": [3]}}) == {"a": {"b": 1, "c": [3]}, "d": 2}
    assert values["a"]["c"] == [1, 2]


def test_flattened_is_the_inverse_of_overrides():
    changes = merged(override("a.b=[x, y]"), override("a.c=null"))
    assert dict(flattened(changes)) == {"a.b": ["x", "y"], "a.c": None}


@pytest.mark.parametrize(
    ("text", "message"), [("seed", "'seed': expected KEY=VALUE"), ("a=[gan", r"'a=\[gan' is not valid YAML")]
)
def test_an_override_that_is_none(text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        override(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("corpora.emdb=true", "unknown key `corpora.emdb`, did you mean `emodb`?"),
        ("study.generators=[gann]", "gann"),
        ("study.arms=[masked]", "must hold `baseline`"),
        ("study.build_on=mask", "key `study.build_on`: mask"),
        ("augmentation.augmented.time_maks=0.1", "unknown key `augmentation.augmented.time_maks`"),
        ("generators.diffusion.sample.step=3", "unknown key `generators.diffusion.sample.step`, did you mean `steps`?"),
        ("trainig.epochs=3", "unknown key `trainig`"),
        ("training.learning_rate=1e-3x", "key `training.learning_rate`: Input should be a valid number, found '1e-3x'"),
    ],
)
def test_a_change_that_no_stage_would_accept_is_refused_at_once(change, message):
    with pytest.raises(InputError) as error:
        schema.check(merged(COMMITTED, override(change)))
    assert message in str(error.value)


def test_a_generator_that_does_not_exist():
    arms = {"arms": {"gann": COMMITTED["arms"]["diffusion"]}}
    with pytest.raises(InputError, match=r"gann.*gan"):
        schema.check(merged(merged(COMMITTED, override("study.generators=[gann]")), arms))


@pytest.mark.parametrize(("options", "stages"), [([], ()), (["--keep"], ("compare",))])
def test_metrics_are_kept_on_demand_and_need_no_more_than_the_comparison(options, stages, tmp_path, monkeypatch):
    files = {
        ("metrics/details.json", "thirds"): (ROOT / "metrics/details.json").read_text(),
        ("params.yaml", "thirds"): "seed: 7\n",
    }
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["experiment", "text", "split.folds=3", "--as", "thirds", *options])
    runs = []
    monkeypatch.setattr(experiment.preconditions, "check_clone", lambda root: None)
    monkeypatch.setattr(copies, "run", lambda *arguments: runs.append(arguments))
    monkeypatch.setattr(experiment.dvc.api, "read", lambda path, rev: files[path, rev])
    experiment.main()
    ((name, changes, *targets),) = runs
    assert (name, changes["split"], tuple(targets)) == ("thirds", {"protocol": "text", "folds": 3}, stages)
    kept = [json.loads(path.read_text()) for path in tmp_path.glob("metrics/experiments/thirds.json")]
    details = json.loads(files["metrics/details.json", "thirds"])
    assert kept == ([details | {"params": {"seed": 7}}] if options else [])


def test_a_member_of_a_series_is_run_by_its_name(tmp_path, monkeypatch):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["experiment", "synthetic_25"])
    runs = []
    monkeypatch.setattr(experiment.preconditions, "check_clone", lambda root: None)
    monkeypatch.setattr(copies, "run", lambda *arguments: runs.append(arguments))
    details = (ROOT / "metrics/details.json").read_text()
    monkeypatch.setattr(experiment.dvc.api, "read", lambda path, rev: details)
    experiment.main()
    series = named.study()["synthetic"]
    assert runs == [("synthetic_25", merged(series.changes, {"arms": {"vae": {"share": 0.2}}}))]


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A new repository in the working folder, in which nothing may be run."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *author, "commit", "-q", "--allow-empty", "-m", "first"], cwd=tmp_path, check=True)
    Repo.init(tmp_path).close()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(copies, "_copy", None)


def test_one_function_reads_yaml():
    """PyYAML, which reads another dialect than DVC, is there for writing alone."""
    for path in chain(
        *(ROOT.joinpath(folder).rglob("*.py") for folder in ("app", "benchmarks", "scripts", "ser", "stages"))
    ):
        assert "yaml.safe_load" not in path.read_text(), path


@pytest.mark.usefixtures("clone")
def test_a_clone_whose_experiments_dvc_would_not_keep_is_refused_first():
    Path(".git/shallow").write_bytes(subprocess.check_output(["git", "rev-parse", "HEAD"]))
    with pytest.raises(InputError, match="it is shallow .* `git fetch --unshallow`$"):
        copies.run("thirds", {})


@pytest.mark.usefixtures("clone")
@pytest.mark.parametrize("kind", ["branch", "tag"])
def test_a_name_that_git_knows_is_refused(kind):
    subprocess.run(["git", kind, "thirds"], check=True)
    with pytest.raises(InputError, match="Git has a branch or a tag `thirds`"):
        copies.run("thirds", {})


def test_a_series_is_no_experiment(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["experiment", "synthetic"])
    with pytest.raises(SystemExit) as ended:
        experiment.main()
    assert ended.value.code == 2 and "'synthetic_25'" in capsys.readouterr().err
