"""What the results of the study's fold jobs depend on: code, inputs and parameters."""

import multiprocessing
import shutil
from pathlib import Path

import pytest
import yaml

from ser.core import params, sources
from ser.training.arms import TrainRealArm, TrainSyntheticArm
from stages.enhance import Enhance
from stages.fit import FitGenerator
from stages.fit_autoencoder import FitAutoencoder
from stages.recognise import Recognise
from stages.sample import SampleGenerator
from stages.sample_quality import SampleQuality
from tests.helpers.project import ROOT

JOBS = {
    "train": lambda: TrainRealArm("augmented"),
    "train_synthetic": lambda: TrainSyntheticArm("vae"),
    "fit_autoencoder": lambda: FitAutoencoder("autoencoder"),
    "fit": lambda: FitGenerator("vae"),
    "sample": lambda: SampleGenerator("vae"),
    "sample_quality": lambda: SampleQuality("vae"),
    "enhance": lambda: Enhance("diffusion"),
    "recognise": lambda: Recognise("diffusion"),
}
ALL = set(JOBS)


@pytest.fixture
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.usefixtures("at_the_root")
def test_a_file_matters_to_the_jobs_that_use_it():
    jobs = {name: job() for name, job in JOBS.items()}
    files = {name: {*job.inputs, *map(str, sources.imported(*job.modules))} for name, job in jobs.items()}
    expected = {
        "ser/core/fold_jobs.py": ALL,
        "ser/data/clips.py": ALL,
        "ser/training/loop.py": {"train", "train_synthetic", "sample_quality"},
        "ser/training/augmentation.py": ALL,  # the autoencoder, which all generators import, stretches its crops
        "ser/models/backbones/cnn_statistics.py": ALL - {"fit_autoencoder", "fit", "recognise"},
        "ser/models/backbones/resnet50.py": set(),
        "ser/generators/vae.py": {"fit", "sample"},
        "ser/generators/autoencoder.py": {"fit_autoencoder", "fit", "sample", "enhance", "recognise"},
        "ser/generators/sequences.py": {"fit_autoencoder", "fit", "sample", "enhance", "recognise"},
        "ser/generators/flow.py": {"enhance", "recognise"},
        "ser/generators/diffusion.py": {"enhance", "recognise"},
        "ser/generators/mixtures.py": {"fit", "sample"},
        "ser/generators/unet.py": set(),
        "ser/generators/gan.py": set(),
        "stages/fit.py": {"fit"},
        "stages/fit_autoencoder.py": {"fit_autoencoder"},
        "stages/compare.py": set(),
        "ser/reporting/figures.py": {"sample_quality"},  # which draws a figure of its own
        "ser/reporting/model_card.py": set(),
        "ser/recogniser.py": set(),
        "data/catalogue.csv": ALL,
        "data/splits.csv": ALL,
        "data/mels/frames.npy": ALL,
        "data/embeddings.safetensors": {"fit", "sample", "enhance"},
        "data/synthetic/vae/index.csv": {"train_synthetic", "sample_quality"},
        "models/arms/baseline.safetensors": {"sample", "sample_quality", "enhance"},
        "models/autoencoder.safetensors": {"fit"},
        "models/generators/vae.safetensors": {"sample"},
        "models/generators/diffusion.safetensors": {"enhance", "recognise"},
    }
    assert {path: {name for name in JOBS if path in files[name]} for path in expected} == expected


@pytest.mark.usefixtures("at_the_root")
@pytest.mark.parametrize("name", JOBS)
def test_a_job_can_be_sent_to_another_process(name):
    """As it is where processes are not forked (ser/core/processes.py)."""
    job = JOBS[name]()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    sender.send(job)
    sent = receiver.recv()
    assert vars(sent).keys() == vars(job).keys()
    assert (sent.params, sent.inputs, sent.modules) == (job.params, job.inputs, job.modules)


@pytest.fixture
def fingerprints(tmp_path, monkeypatch):
    """Fingerprints in a copy of this repository's code, with empty files in place of all inputs."""
    for package in ("ser", "stages"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    for path in {path for job in JOBS.values() for path in job().inputs}:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    return lambda: {name: job().fingerprint() for name, job in JOBS.items()}


def changed(before, after):
    return {name for name in JOBS if before[name] != after[name]}


def test_finished_folds_of_a_training_outlive_the_edit_of_a_plot(fingerprints):
    before = fingerprints()
    for path, jobs in {
        "ser/reporting/model_card.py": set(),
        "ser/reporting/figures.py": {"sample_quality"},
        "ser/training/loop.py": {"train", "train_synthetic", "sample_quality"},
    }.items():
        with Path(path).open("a") as file:
            file.write("\n\nEDITED = True\n")
        after = fingerprints()
        assert changed(before, after) == jobs, path
        before = after


@pytest.mark.parametrize(
    ("key", "value", "jobs"),
    [
        ("seed", 1, ALL),
        ("training.epochs", 3, {"train", "train_synthetic"}),
        ("classifier.arch", "cnn", ALL - {"fit_autoencoder", "fit", "recognise"}),
        ("augmentation.augmented.vtlp", 0.3, {"train", "train_synthetic"}),
        ("augmentation.masked.shift", 0.3, set()),
        ("arms.vae.share", 0.5, {"train_synthetic"}),
        ("arms.gan.share", 0.5, set()),
        ("generators.vae.fit.frames", 64, {"fit", "sample"}),
        ("generators.vae.sample.nearest", 0.2, {"sample"}),
        ("audio.trim_db", 20.0, {"sample"}),
        ("autoencoder.latents", 16, {"fit_autoencoder"}),
        ("generators.gan.sample.count", 5, set()),
        ("sample_quality.training.epochs", 3, {"sample_quality"}),
        ("study.resamples", 10, set()),
    ],
)
def test_a_parameter_matters_to_the_jobs_that_read_it(monkeypatch, key, value, jobs):
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    monkeypatch.setattr(params, "load", lambda: values)
    before = params_of_jobs()
    *sections, name = key.split(".")
    section = values
    for each in sections:
        section = section[each]
    assert section[name] != value
    section[name] = value
    assert changed(before, params_of_jobs()) == jobs


def params_of_jobs():
    return {name: job().params for name, job in JOBS.items()}
