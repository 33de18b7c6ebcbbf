"""The demo corpus: the same bytes everywhere, balanced, and neither trivial nor hopeless to recognise."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import espeakng_loader
import librosa
import numpy as np
import pytest
import soundfile
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser.core.errors import InputError
from ser.corpora import demo


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    demo.fetch(folder)
    return folder


def test_any_subset_in_any_order_gives_the_same_bytes(corpus, tmp_path):
    names = demo.clips()[::-3]
    demo.fetch(tmp_path, names=names)
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(names)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (corpus / path.name).read_bytes(), path.name


def test_another_process_gives_the_same_bytes(corpus, tmp_path):
    program = (
        "import sys; from pathlib import Path; from ser.corpora import demo; "
        "demo.fetch(Path(sys.argv[1]), names=sys.argv[2:])"
    )
    names = demo.clips()[5::60]
    subprocess.run(
        [sys.executable, "-c", program, tmp_path, *names],
        check=True,
        cwd=Path(demo.__file__).parents[2],
        env=os.environ | {"PYTHONHASHSEED": "7"},
    )
    for name in names:
        assert (tmp_path / f"{name}.wav").read_bytes() == (corpus / f"{name}.wav").read_bytes(), name


def test_the_corpus_is_balanced(corpus):
    labels = [demo.parse(path) for path in sorted(corpus.iterdir())]
    assert len(labels) == len(demo.clips()) == 480
    for key, values in {"speaker": 10, "sex": 2, "emotion": 6, "text": 4, "intensity": 1}.items():
        counts = Counter(label[key] for label in labels)
        assert len(counts) == values and set(counts.values()) == {480 // values}, (key, counts)
    assert len({path.read_bytes() for path in corpus.iterdir()}) == 480


def test_the_audio_is_sane(corpus):
    for path in corpus.iterdir():
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (22050, 1, "PCM_16"), path.name
        assert 1.0 < info.duration < 3.5, path.name
        samples, _ = soundfile.read(path)
        assert 0.02 < np.abs(samples).max() < 0.95, path.name


def test_the_prosody_can_be_heard(corpus):
    def loudness(emotion):
        return np.mean([soundfile.read(path)[0].std() for path in corpus.glob(f"*_{emotion}_*.wav")])

    def seconds(emotion):
        return np.mean([soundfile.info(path).duration for path in corpus.glob(f"*_{emotion}_*.wav")])

    assert loudness("anger") > 1.5 * loudness("neutral") > 2 * loudness("sadness")
    assert seconds("sadness") > 1.1 * seconds("neutral") > 1.15 * seconds("fear")


def test_recognising_the_emotion_of_unseen_speakers_is_neither_trivial_nor_hopeless(corpus):
    paths = sorted(corpus.iterdir())
    labels = [demo.parse(path) for path in paths]
    features = []
    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32")
        mel = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=1024, hop_length=512, n_mels=40)
        decibels = librosa.power_to_db(mel, amin=1e-8, top_db=None)
        features.append(np.concatenate([decibels.mean(axis=1), decibels.std(axis=1)]))
    emotions = [label["emotion"] for label in labels]
    predicted = cross_val_predict(
        make_pipeline(StandardScaler(), SVC(C=10)),
        np.array(features),
        emotions,
        groups=[label["speaker"] for label in labels],
        cv=GroupKFold(5),
    )
    assert 0.45 < balanced_accuracy_score(emotions, predicted) < 0.95


def test_a_file_name_gives_the_labels():
    assert demo.parse(Path("folder/f1_anger_de1_2.wav")) == {
        "speaker": "demo-f1",
        "sex": "female",
        "emotion": "anger",
        "text": "demo-de1",
        "intensity": "normal",
    }
    assert demo.parse(Path("m3_fear_en2_1.wav"))["sex"] == "male"


@pytest.mark.parametrize(
    "name",
    [
        "f1_anger_de1.wav",
        "f9_anger_de1_1.wav",
        "f1_rage_de1_1.wav",
        "f1_anger_fr1_1.wav",
        "f1_anger_de1_3.wav",
        "f1_anger_de1_1.mp3",
        "f1_anger_de1_1_1.wav",
        "notes.txt",
    ],
)
def test_a_wrong_file_name_is_refused(name):
    with pytest.raises(InputError) as error:
        demo.parse(Path("folder") / name)
    assert str(Path("folder") / name) in str(error.value)
    assert "SPEAKER_EMOTION_TEXT_TAKE.wav" in str(error.value)


@pytest.mark.parametrize("function", ["get_library_path", "get_data_path"])
def test_a_missing_espeak_says_to_reinstall(function, monkeypatch, tmp_path):
    monkeypatch.setattr(espeakng_loader, function, lambda: str(tmp_path / "missing"))
    with pytest.raises(InputError, match="reinstall the requirements: pip install"):
        demo.fetch(tmp_path / "demo", names=demo.clips()[:1])


def test_broken_espeak_data_says_to_reinstall(monkeypatch, tmp_path):
    for name in demo.Synthesiser._DATA:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(InputError, match="reinstall the requirements: pip install"):
        demo.fetch(tmp_path / "demo", names=demo.clips()[:1])
