import argparse
import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml

from scripts import experiment, named
from scripts.named import HERE, changes_of
from scripts.overrides import flattened, merged, override
from ser import schema
from ser.core import params
from ser.core.errors import InputError
from tests.helpers.project import ROOT

COMMITTED = params.load(ROOT / "params.yaml")


@pytest.mark.parametrize("path", sorted(HERE.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_is_valid_and_says_what_it_is_for(path):
    schema.check(merged(COMMITTED, yaml.safe_load(path.read_text())))
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("name", ["synthetic", "real_data"])
def test_a_series_names_the_command_of_each_of_its_experiments(name):
    text = (HERE / f"{name}.yaml").read_text()
    commands = re.findall(rf"^# python -m scripts.experiment {name} (.+) --as {name}_(\d+) --keep$", text, re.MULTILINE)
    assert len(commands) == text.count("python -m scripts.experiment")
    for overrides, amount in commands:
        values = merged(COMMITTED, changes_of(name, [override(change) for change in overrides.split()]))
        schema.check(values)
        share = values["arms"]["vae"]["share"]
        per_cent = 100 * {"synthetic": share / (1 - share), "real_data": values["split"]["training"]}[name]
        assert per_cent == pytest.approx(int(amount), rel=0.01)


def test_changes_replace_what_they_name_and_nothing_else():
    values = {"a": {"b": 1, "c": [1, 2]}, "d": 2}
    assert merged(values, {"a": {"c": [3]}}) == {"a": {"b": 1, "c": [3]}, "d": 2}
    assert values["a"]["c"] == [1, 2]


def test_flattened_is_the_inverse_of_overrides():
    changes = merged(override("a.b=[x, y]"), override("a.c=null"))
    assert dict(flattened(changes)) == {"a.b": ["x", "y"], "a.c": None}


@pytest.mark.parametrize(
    ("text", "message"), [("seed", "'seed': expected KEY=VALUE"), ("a=[gan", r"'a=\[gan': its value is not YAML")]
)
def test_an_override_that_is_none(text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        override(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("corpora.emdb=true", "unknown key `corpora.emdb`, did you mean `emodb`?"),
        ("study.generators=[gann]", "key `arms.gann`"),
        ("study.arms=[masked]", "must hold `baseline`"),
        ("generators.diffusion.sample.step=3", "unknown key `generators.diffusion.sample.step`, did you mean `steps`?"),
        ("trainig.epochs=3", "unknown key `trainig`"),
        ("training.learning_rate=1e-3", "write 0.0001, not 1e-4"),
    ],
)
def test_a_change_that_no_stage_would_accept_is_refused_at_once(change, message):
    with pytest.raises(InputError) as error:
        schema.check(merged(COMMITTED, override(change)))
    assert message in str(error.value)


def test_a_generator_that_does_not_exist():
    arms = {"arms": {"gann": COMMITTED["arms"]["diffusion"]}}
    with pytest.raises(InputError, match=r"there is no ser/generators/gann.py"):
        schema.check(merged(merged(COMMITTED, override("study.generators=[gann]")), arms))


@pytest.mark.parametrize(("options", "stages"), [([], ()), (["--keep"], ("compare",))])
def test_figures_are_kept_on_demand_and_need_no_more_than_the_comparison(options, stages, tmp_path, monkeypatch):
    read = {
        ("metrics/details.json", "thirds"): (ROOT / "metrics/details.json").read_text(),
        ("params.yaml", "thirds"): "seed: 7\n",
    }
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["experiments", "text", "split.folds=3", "--as", "thirds", *options])
    ran = []
    monkeypatch.setattr(named, "run", lambda *arguments: ran.append(arguments))
    monkeypatch.setattr(experiment.dvc.api, "read", lambda path, rev: read[path, rev])
    experiment.main()
    ((name, changes, *targets),) = ran
    assert (name, changes["split"], tuple(targets)) == ("thirds", {"protocol": "text", "folds": 3}, stages)
    kept = [json.loads(path.read_text()) for path in tmp_path.glob("metrics/experiments/thirds.json")]
    details = json.loads(read["metrics/details.json", "thirds"])
    assert kept == ([details | {"params": {"seed": 7}}] if options else [])


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """In a new Git repository: the DVC commands that were called, none of which is run; `status` is how they end."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.chdir(tmp_path)
    called, real = SimpleNamespace(all=[], status=0), subprocess.run

    def record(command, **options):
        if command[0] != sys.executable:
            return real(command, **options)
        called.all.append(command[1:])
        return SimpleNamespace(returncode=called.status)

    monkeypatch.setattr(named.subprocess, "run", record)
    return called


def test_a_run_leaves_the_workspace_alone_and_takes_every_change(commands):
    named.run("thirds", {"split": {"folds": 3, "seed": None}, "study": {"generators": ["gan"]}}, "compare")
    remove, run = commands.all
    assert remove == ["-m", "dvc", "exp", "remove", "--quiet", "thirds"]
    assert run == [
        "-m",
        "dvc",
        "exp",
        "run",
        "--temp",
        "--name",
        "thirds",
        "compare",
        "-S",
        "split.folds=3",
        "-S",
        "split.seed=null",
        "-S",
        'study.generators=["gan"]',
    ]


def test_a_run_that_fails_ends_with_its_status(commands):
    commands.status = 3
    with pytest.raises(SystemExit) as ended:
        named.run("thirds", {})
    assert ended.value.code == 3


@pytest.mark.parametrize("kind", ["branch", "tag"])
def test_a_name_that_git_knows_is_refused(kind, commands):
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *author, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    subprocess.run(["git", kind, "thirds"], check=True)
    with pytest.raises(InputError, match="Git has a branch or a tag `thirds`"):
        named.run("thirds", {})
    assert commands.all == []


def test_the_command_names_the_key_and_runs_nothing():
    command = [sys.executable, "-m", "experiments", "tiny", "training.epoch=3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip() == "error: params.yaml: unknown key `training.epoch`, did you mean `epochs`?"
