"""A classifier on a frozen speech encoder, with small encoders that are made up."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import soundfile
import torch

transformers = pytest.importorskip("transformers", reason="`make encoder` installs transformers")

from scripts import kept_metrics, named, results, speech_encoder  # noqa: E402
from ser.audio.io import AudioConfig, load_audio  # noqa: E402
from ser.core.errors import InputError  # noqa: E402
from ser.data import manifest  # noqa: E402
from tests.helpers.project import ROOT  # noqa: E402

CONFIG = AudioConfig(sample_rate=16_000, channel="mean", trim_db=None, remove_mean=False)
SMALL = {"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
# As in the published encoders: one is normalised over time, one gets an attention mask, one is padded to its length.
KINDS = {
    "wav2vec2": (
        transformers.Wav2Vec2Config(
            **SMALL, conv_dim=[8] * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2
        ),
        transformers.Wav2Vec2FeatureExtractor(return_attention_mask=False),
    ),
    "wavlm": (
        transformers.WavLMConfig(
            **SMALL, conv_dim=[8] * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2
        ),
        transformers.Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True),
    ),
    "whisper": (
        transformers.WhisperConfig(
            vocab_size=20,
            num_mel_bins=8,
            d_model=16,
            encoder_layers=2,
            encoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_layers=1,
            decoder_attention_heads=2,
            decoder_ffn_dim=32,
            max_source_positions=100,
            max_target_positions=8,
            pad_token_id=0,
            bos_token_id=0,
            eos_token_id=0,
            decoder_start_token_id=0,
        ),
        transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=2),
    ),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Three sound files of different lengths."""
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    for name, seconds in {"a": 0.4, "b": 0.7, "c": 1.1}.items():
        soundfile.write(folder / f"{name}.wav", 0.1 * rng.standard_normal(int(22_050 * seconds)), 22_050)
    return sorted(map(str, folder.iterdir()))


def publish(kind, folder):
    """Write a random network as its kind is published, and return it and its entry in PUBLISHED."""
    config, preprocessor = KINDS[kind]
    torch.manual_seed(0)
    network = transformers.MODEL_MAPPING[type(config)](config).eval()
    config.to_json_file(folder / speech_encoder.CONFIG)
    preprocessor.to_json_file(folder / speech_encoder.PREPROCESSOR)
    weights = {f"{network.base_model_prefix}.{name}": tensor for name, tensor in network.state_dict().items()}
    if kind == "whisper":
        file = "model.safetensors"
        safetensors.torch.save_file(weights, folder / file)
    else:
        file = "pytorch_model.bin"
        old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
        for name in list(weights):
            for new_name, old_name in old.items():
                if name.endswith(new_name):
                    weights[name.replace(new_name, old_name)] = weights.pop(name)
        torch.save({**weights, "quantizer.codevectors": torch.zeros(2)}, folder / file)  # a head of the pretraining
    digests = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in (speech_encoder.CONFIG, speech_encoder.PREPROCESSOR, file)
    }
    return network, speech_encoder.Published("0" * 40, digests)


@pytest.fixture(params=KINDS)
def made(request, tmp_path, monkeypatch):
    """A folder with an encoder, the network in it, and its preprocessor."""
    folder = tmp_path / "published"
    folder.mkdir()
    network, entry = publish(request.param, folder)
    monkeypatch.setitem(speech_encoder.PUBLISHED, "some/encoder", entry)
    return folder, network, KINDS[request.param][1]


@torch.no_grad()
def expected(network, preprocessor, samples):
    """Features as their definition has them."""
    inputs = preprocessor(samples, sampling_rate=16_000, return_tensors="pt")
    frames = None
    if network.config.model_type == "whisper":
        network, frames = network.encoder, int(np.ceil(len(samples) / 320))  # two frames of the mel, 160 samples each
    states = network(**inputs, output_hidden_states=True).hidden_states
    return np.stack([state[0, :frames].mean(0).numpy() for state in states])


def test_features_are_means_over_time_of_the_states_of_every_layer(made, clips, tmp_path):
    folder, network, preprocessor = made
    encoder = speech_encoder.load(folder, "some/encoder")
    features = speech_encoder.extract(encoder, clips, CONFIG, tmp_path / "cache")
    assert features.shape == (3, 1 + 2, 16) and features.dtype == np.float32
    assert not encoder.network.training
    for clip, path in zip(features, clips):
        np.testing.assert_allclose(clip, expected(network, preprocessor, load_audio(path, CONFIG)), atol=1e-5)


def test_features_of_a_clip_do_not_depend_on_other_clips(made, clips, tmp_path):
    encoder = speech_encoder.load(made[0], "some/encoder")
    together = speech_encoder.extract(encoder, clips, CONFIG, tmp_path / "together")
    for clip, path in zip(together, clips):
        alone = speech_encoder.extract(encoder, [path], CONFIG, tmp_path / Path(path).stem)
        np.testing.assert_array_equal(clip, alone[0])


class Stopped(Exception):
    pass


class Counting:
    """An encoder that counts its clips, and stops after `limit` of them."""

    longest = np.inf

    def __init__(self, limit):
        self.count, self.limit = 0, limit

    def features(self, samples):
        if self.count == self.limit:
            raise Stopped
        self.count += 1
        return np.full((2, 4), len(samples), dtype=np.float32)


def test_a_run_goes_on_where_it_was_stopped_and_a_second_one_computes_nothing(clips, tmp_path):
    with pytest.raises(Stopped):
        speech_encoder.extract(Counting(limit=2), clips, CONFIG, tmp_path)
    rest = Counting(limit=1)
    features = speech_encoder.extract(rest, clips, CONFIG, tmp_path)
    assert rest.count == 1
    again = speech_encoder.extract(Counting(limit=0), clips, CONFIG, tmp_path)
    np.testing.assert_array_equal(features, again)
    assert features[:, 0, 0].tolist() == [len(load_audio(path, CONFIG)) for path in clips]


def test_samples_that_changed_are_encoded_again(clips, tmp_path):
    speech_encoder.extract(Counting(limit=3), clips, CONFIG, tmp_path)
    louder_half = Counting(limit=3)
    changed = CONFIG.model_copy(update={"sample_rate": 8_000})
    speech_encoder.extract(louder_half, clips, changed, tmp_path)
    assert louder_half.count == 3


def test_a_clip_that_is_longer_than_the_encoder_takes_is_named(clips, tmp_path):
    encoder = Counting(limit=3)
    encoder.longest = 16_000
    with pytest.raises(InputError, match=r"c\.wav: lasts 1\.1 s; this encoder takes up to 1 s"):
        speech_encoder.extract(encoder, clips, CONFIG, tmp_path)


def test_files_are_the_published_ones(made):
    folder = made[0]
    weights = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match=f"{weights.name}: its sha256 is .*; get it again from https://huggingface.co"):
        speech_encoder.load(folder, "some/encoder")
    weights.unlink()
    with pytest.raises(InputError, match=f"{weights.name} is missing; get it from https://huggingface.co/some/encoder"):
        speech_encoder.load(folder, "some/encoder")


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    _, entry = publish("wavlm", tmp_path)
    torch.save({"a": Path("/")}, tmp_path / "pytorch_model.bin")
    digest = hashlib.sha256((tmp_path / "pytorch_model.bin").read_bytes()).hexdigest()
    entry = entry._replace(digests=entry.digests | {"pytorch_model.bin": digest})
    monkeypatch.setitem(speech_encoder.PUBLISHED, "some/encoder", entry)
    with pytest.raises(Exception, match="Weights only load failed"):
        speech_encoder.load(tmp_path, "some/encoder")


def test_weights_that_are_not_in_the_file_are_not_random(tmp_path, monkeypatch):
    _, entry = publish("whisper", tmp_path)
    path = tmp_path / "model.safetensors"
    weights = safetensors.torch.load_file(path)
    del weights["model.encoder.layers.1.fc1.weight"]
    safetensors.torch.save_file(weights, path)
    entry = entry._replace(digests=entry.digests | {path.name: hashlib.sha256(path.read_bytes()).hexdigest()})
    monkeypatch.setitem(speech_encoder.PUBLISHED, "some/encoder", entry)
    with pytest.raises(InputError, match=r"no weights for encoder\.layers\.1\.fc1\.weight"):
        speech_encoder.load(tmp_path, "some/encoder")


def test_there_is_a_classifier_per_layer_and_cost_the_strongest_regularisation_first():
    layers = [pd.DataFrame({0: [layer]}) for layer in range(3)]
    candidates = speech_encoder.candidates(layers)
    assert [candidate.name for candidate in candidates[:6]] == [
        *(f"layer 0, C={cost}" for cost in ("0.0001", "0.001", "0.01", "0.1", "1")),
        "layer 1, C=0.0001",
    ]
    assert len(candidates) == 15 and candidates[-1].features is layers[2] and candidates[-1].classifier.C == 1


def test_every_setting_with_a_goal_is_measured(tmp_path, clips, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    folder = tmp_path / "published"
    folder.mkdir()
    monkeypatch.setitem(speech_encoder.PUBLISHED, "some/encoder", publish("wavlm", folder)[1])
    monkeypatch.setattr(speech_encoder, "COSTS", (1e-3, 1.0))
    six = ["anger", "disgust", "fear", "happiness", "neutral", "sadness"]
    rows = [
        (f"{corpus}/{speaker}-{emotion}-{take}", corpus, emotion, f"{corpus}-{speaker}", clips[take])
        for corpus, speakers, extra in (("emodb", 10, ["boredom"]), ("ravdess", 24, ["calm", "surprise"]))
        for speaker, emotion, take in product(range(speakers), [*six, *extra], range(2))
    ]
    catalogue = pd.DataFrame(rows, columns=["clip", "corpus", "emotion", "speaker", "path"])
    catalogue = catalogue.assign(sex="female", text="a", intensity="normal", seconds=1.0, sample_rate=22_050)
    Path("data").mkdir()
    catalogue.assign(sha256=catalogue["clip"])[list(manifest.COLUMNS)].sort_values("clip").to_csv(
        "data/catalogue.csv", index=False
    )
    speech_encoder.main(["--model", "some/encoder", "--folder", str(folder)])
    kept = [path.suffix for path in speech_encoder.CACHE.rglob("*") if path.is_file()]
    assert kept == [".safetensors"] * 2  # as many as there are different sounds
    path = kept_metrics.SPEECH_ENCODERS / "encoder.json"
    metrics = json.loads(path.read_text())
    assert set(metrics) == set(named.with_goal())
    for details in metrics.values():
        assert list(details["arms"]) == ["encoder"]
        assert {row["selected"].partition(",")[0] for row in details["selected"]} <= {f"layer {n}" for n in range(3)}
    assert "logistic regression on encoder, frozen" in results.fixed_features()


def test_without_transformers_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match="transformers is not installed; install it with `make encoder`"):
        speech_encoder.main([])


def test_without_network_it_says_which_files_to_put_where(tmp_path):
    model = "openai/whisper-base"
    environment = {**os.environ, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "scripts.speech_encoder", "--model", model]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    commit, digests = speech_encoder.PUBLISHED[model]
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {model} cannot be downloaded (")
    files = f"put {', '.join(digests)} from https://huggingface.co/{model}/tree/{commit} into a folder"
    assert line.endswith(f"; {files} and pass `--folder FOLDER`")


def test_pins_are_commits_and_digests():
    for commit, digests in speech_encoder.PUBLISHED.values():
        assert len(commit) == 40 and len(digests) == 3
        assert all(len(digest) == 64 for digest in digests.values())
