"""The page that `python -m app` serves, from the files of its working directory."""

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.media_file_storage import MediaFileStorageError

from app import enhancing, pictures
from ser.audio.griffin_lim import mel_to_samples, wav_bytes
from ser.audio.io import SUFFIXES
from ser.audio.mel import MelConfig
from ser.core import params
from ser.core.errors import InputError
from ser.data.dataset import FILES, Dataset, load_dataset
from ser.evaluation.study import StudyConfig
from ser.models.exported import FOLDER
from ser.recogniser import Recogniser
from ser.reporting import gallery, tables

LONGEST = 60  # seconds of an uploaded clip
Stamp = tuple[int, ...]  # times of modification: changes when files are replaced, so that no old contents are shown


def explain_missing_files(section: Callable[..., None]) -> Callable[..., None]:
    """Make a section of the page explain that its files are missing, as they are while a run replaces them."""

    @functools.wraps(section)
    def wrapper(*arguments: Any) -> None:
        try:
            section(*arguments)
        except (OSError, MediaFileStorageError, InputError) as error:
            st.info(f"These files are being made, or were not pulled ({error}). Reload the page later.")

    return wrapper


def recogniser() -> Recogniser:
    return _recogniser(_stamp(f"{FOLDER}/model.safetensors", f"{FOLDER}/model.json"))


@st.cache_resource(max_entries=1)
def _recogniser(stamp: Stamp) -> Recogniser:
    return Recogniser.load()


def dataset() -> Dataset:
    return _dataset(_stamp(*FILES))


@st.cache_resource(max_entries=1)
def _dataset(stamp: Stamp) -> Dataset:
    return load_dataset(params.read("emotions", list[str]), params.read("split.protocol", str))


def enhance(generator: str, mel: np.ndarray, emotion: str, strength: float) -> np.ndarray:
    """The mel [n_mels, frames] after enhancement under an emotion."""
    stamp = _stamp(f"models/generators/{generator}.safetensors", "data/embeddings.safetensors")
    return _enhance(stamp, generator, mel, emotion, strength)


@st.cache_data(max_entries=64)
def _enhance(stamp: Stamp, generator: str, mel: np.ndarray, emotion: str, strength: float) -> np.ndarray:
    return _enhancer(stamp, generator)(mel, emotion, strength)


@st.cache_resource(max_entries=1)
def _enhancer(stamp: Stamp, generator: str) -> Callable[[np.ndarray, str, float], np.ndarray]:
    return enhancing.load(generator, dataset())


def _stamp(*paths: str) -> Stamp:
    return tuple(Path(path).stat().st_mtime_ns for path in paths)


@st.cache_data(max_entries=64)
def sound(mel: np.ndarray, rate: int, config: MelConfig) -> bytes:
    """A WAV file made from a mel [n_mels, frames] by Griffin-Lim."""
    return wav_bytes(mel_to_samples(mel, rate, config), rate)


def show(container: DeltaGenerator, mel: np.ndarray, recording: bytes | None = None) -> None:
    """Show a mel [n_mels, frames] with its sound: the recording if there is one, else that of Griffin-Lim."""
    config, rate = params.read("mels", MelConfig), params.read("audio.sample_rate", int)
    container.pyplot(pictures.spectrogram(mel, rate, config, theme()), width="stretch")
    container.audio(recording or sound(mel, rate, config))


def theme() -> str:
    return st.context.theme.type or "light"


@explain_missing_files
def main() -> None:
    details = json.loads(Path("metrics/details.json").read_text())
    corpora = ", ".join(details["corpora"])
    if "demo" in details["corpora"]:
        st.warning(
            f"These are models and results of the **demo** ({corpora}): synthetic voices, which show that "
            "everything works and say nothing about people."
        )
    else:
        st.caption(f"Models and results of {corpora}: {tables.caption(details)}")
    your_clip_tab, generated_clips_tab, results_tab = st.tabs(["Your clip", "Generated clips", "Results"])
    with your_clip_tab:
        your_clip()
    with generated_clips_tab:
        generated_clips()
    with results_tab:
        results(details)


@st.fragment
@explain_missing_files
def your_clip() -> None:
    if st.segmented_control("Your clip", ["Upload", "Record"], default="Upload", required=True) == "Upload":
        file = st.file_uploader(f"A clip of speech, up to {LONGEST} s", list(SUFFIXES))
    else:
        file = st.audio_input(f"Up to {LONGEST} s")
    if file is None:
        st.info(
            f"The model outputs one of {', '.join(recogniser().class_names)} for any sound. It was not trained on "
            "spontaneous speech and is often wrong."
        )
        return
    model = recogniser()
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip"
            path.write_bytes(file.getvalue())
            answer = model.recognise(path, LONGEST)
    except InputError as error:
        st.error(f"This clip cannot be used: {str(error).partition(': ')[2] or error}.")
        return
    for notice in answer.notices:
        st.warning(f"{notice[0].upper()}{notice[1:]}.")
    probabilities = answer.probabilities
    rate = model.audio.sample_rate
    emotion_column, clip_column = st.columns(2)
    probability = f"{probabilities[answer.emotion]:.0%}"
    emotion_column.metric("Recognised", answer.emotion, probability, delta_color="off", delta_arrow="off")
    emotion_column.bar_chart(pd.Series(probabilities, name="probability"), horizontal=True, sort=False, height=220)
    clip_column.pyplot(pictures.waveform(answer.samples, rate, theme()), width="stretch")
    show(clip_column, answer.mel, wav_bytes(answer.samples, rate))
    enhancement(answer.mel)


@st.fragment
@explain_missing_files
def enhancement(mel: np.ndarray) -> None:
    generators = params.read("study", StudyConfig).enhanced
    if not generators or not Path(f"models/generators/{generators[0]}.json").exists():
        return
    st.subheader("Enhanced")
    st.caption(
        f"The {generators[0]} model of the first fold adds noise to the clip and removes it again, conditioned on an "
        "emotion, as in Kim & Lee 2024. With a higher strength, less of the clip remains."
    )
    choice_column, clip_column = st.columns(2)
    emotion = choice_column.selectbox("Emotion", recogniser().class_names)
    strength = choice_column.slider("Strength", 0.1, 1.0, 0.4, 0.1)
    enhanced_mel = enhance(generators[0], mel, emotion, strength)
    show(clip_column, enhanced_mel)
    probability = recogniser().probabilities(enhanced_mel)[recogniser().class_names.index(emotion)]
    choice_column.metric(f"probability of {emotion}", f"{probability:.0%}")


@st.fragment
@explain_missing_files
def generated_clips() -> None:
    generators = [
        generator
        for generator in params.read("study", StudyConfig).generators
        if Path(f"data/synthetic/{generator}/index.csv").exists()
    ]
    if not generators:
        st.info("No generators in this study.")
        return
    generator_column, emotion_column = st.columns(2)
    generator = generator_column.selectbox("Generator", generators)
    emotion = emotion_column.selectbox("Emotion of the clips", dataset().class_names)
    sides = {
        "Real, from the training part": gallery.real_mels(dataset()),
        f"By {generator}": gallery.synthetic_mels(dataset(), generator),
    }
    st.caption("Griffin-Lim makes the sound of all clips, so that they can be compared by ear.")
    for title, mels in sides.items():
        st.subheader(title)
        for column, mel in zip(st.columns(gallery.COUNT), mels[emotion], strict=True):
            show(column, mel)


def results(details: dict[str, Any]) -> None:
    st.markdown(tables.table(details))
    if details["quality"]:
        with st.expander("Quality of the generated clips"):
            st.markdown(tables.quality_table(details["quality"]))
            st.image("plots/quality.png")
    if len(details["enhanced"]["arms"]) > 1:
        with st.expander("Enhanced test clips"):
            st.markdown(f"{tables.table(details['enhanced'])}\n\n{tables.ENHANCED_NOTE}")
    if len(details["fused"]["arms"]) > 1:
        with st.expander("Generators as classifiers"):
            st.markdown(f"{tables.table(details['fused'])}\n\n{tables.FUSED_NOTE}")
    for title, figure in {
        "UA of each arm": "ua",
        "Confusion of emotions": "confusion",
        "Recall of each emotion": "recall",
        "Learning curves": "learning_curves",
    }.items():
        with st.expander(title, expanded=figure == "ua"):
            st.image(f"plots/{figure}.png")
    for generator in details["quality"]:
        with st.expander(f"Embeddings and gallery of {generator}"):
            st.image([f"plots/embeddings/{generator}.png", f"plots/gallery/{generator}.png"])


st.set_page_config("Emotion in speech", page_icon="🗣", layout="wide")
st.title("Emotion in speech")
main()
