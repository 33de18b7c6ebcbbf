"""The tab for clips that a visitor uploads or records."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import enhancing, pictures, voice, why
from app.common import MODEL, Stamp, dataset, explain_missing_files, recogniser, show, stamp, theme
from ser.audio.griffin_lim import wav_bytes
from ser.audio.io import SUFFIXES
from ser.core import params
from ser.core.errors import InputError
from ser.evaluation.study import StudyConfig
from ser.generators.base import EnhancementConfig
from ser.recogniser import LONGEST, Recognition, Segment

WHOLE = 10  # seconds; longer recordings get a timeline too
EVERY = 2.0  # seconds of a segment of it


@st.fragment
@explain_missing_files
def your_clips() -> None:
    model = recogniser()  # before any clip, which is not to blame where it fails
    upload_column, record_column = st.columns(2)
    label = f"Speech, up to {LONGEST / 60:.0f} minutes"
    files = upload_column.file_uploader(label, list(SUFFIXES), accept_multiple_files=True)
    if recorded := record_column.audio_input("Or record"):
        files = [*files, recorded]
    if not files:
        st.info(
            f"The model outputs one of {', '.join(model.class_names)} for any sound. It was not trained on "
            "spontaneous speech and is often wrong."
        )
        return
    contents = {f"{number}. {file.name}": file.getvalue() for number, file in enumerate(files, 1)}
    recognised: dict[str, Recognition] = {}
    for name, content in contents.items():
        try:
            recognised[name] = recognise(stamp(*MODEL), content)
        except InputError as error:
            clip = "This clip" if len(files) == 1 else name
            st.error(f"{clip} cannot be used: {str(error).partition(': ')[2] or error}.")
    if not recognised:
        return
    if len(recognised) > 1:
        name, recognition = table(recognised)
    else:
        ((name, recognition),) = recognised.items()
    details(recognition, contents[name])


@st.cache_data(max_entries=256, show_spinner="Listening")
def recognise(stamp: Stamp, content: bytes) -> Recognition:
    with file_of(content) as path:
        return recogniser().recognise(path)


@st.cache_data(max_entries=16, show_spinner="Listening")
def segments(stamp: Stamp, content: bytes) -> list[Segment]:
    with file_of(content) as path:
        return recogniser().segments(path, EVERY)


@contextmanager
def file_of(content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        path.write_bytes(content)
        yield path


def table(recognised: dict[str, Recognition]) -> tuple[str, Recognition]:
    """Show and offer the answers for several clips, and return the name and the answer of the one to look at."""
    probabilities = pd.DataFrame({name: one.answer.probabilities for name, one in recognised.items()}).T
    if len(recognised) > voice.FEWEST and st.checkbox(
        "All these clips are of one person",
        help="The answers for the other clips of a person show which emotions the model favours for this voice; this "
        "bias is taken out of each answer. In the study this gained several points, with clips of several emotions.",
    ):
        probabilities = voice.adapted(probabilities)
    model = recogniser()
    answers = {
        name: model.answer(probabilities.loc[name].to_dict(), one.answer.notices) for name, one in recognised.items()
    }
    shown = probabilities.round(4).rename_axis("clip")
    shown.insert(0, "emotion", [answer.emotion for answer in answers.values()])
    shown.insert(1, "unsure", [answer.unsure for answer in answers.values()])
    shown["notices"] = ["; ".join(answer.notices) for answer in answers.values()]
    bar = st.column_config.ProgressColumn(min_value=0, max_value=1, format="percent", width="small")
    st.dataframe(shown, column_config=dict.fromkeys(probabilities, bar), width="stretch")
    st.download_button("Download as CSV", shown.astype({"unsure": int}).to_csv(), "emotions.csv", "text/csv")
    name = st.selectbox("Look at", list(recognised), key="clip to look at")
    return name, replace(recognised[name], answer=answers[name])


def details(recognition: Recognition, content: bytes) -> None:
    """Show one answer and what it comes from."""
    model, answer = recogniser(), recognition.answer
    for notice in answer.notices:
        st.warning(f"{notice[0].upper()}{notice[1:]}.")
    rate = model.audio.sample_rate
    emotion_column, clip_column = st.columns(2)
    probability = f"{answer.probabilities[answer.emotion]:.0%}"
    emotion_column.metric("Recognised", answer.emotion, probability, delta_color="off", delta_arrow="off")
    if answer.unsure:
        emotion_column.caption(
            f"**Unsure**: below {model.unsure_below:.0%}, too many answers of the model are wrong to rely on them."
        )
    probabilities = pd.Series(answer.probabilities, name="probability")
    emotion_column.bar_chart(probabilities, horizontal=True, sort=False, height=220)
    clip_column.pyplot(pictures.waveform(recognition.samples, rate, theme()), width="stretch")
    show(clip_column, recognition.mel, rate, model.mels, wav_bytes(recognition.samples, rate))
    if len(recognition.samples) > WHOLE * rate:
        timeline(segments(stamp(*MODEL), content))
    else:
        reasons(recognition)
        enhancement(recognition.mel)


def timeline(answered: list[Segment]) -> None:
    st.subheader("Over time")
    st.caption(f"Every {EVERY:g} s by themselves. Pauses are left out, and what the model is unsure of is pale.")
    st.pyplot(pictures.timeline(answered, recogniser().class_names, theme()), width="stretch")


@st.fragment
@explain_missing_files
def reasons(recognition: Recognition) -> None:
    if not st.toggle("Why?", help="Covers one place of the mel after the other and looks how the answer changes."):
        return
    model = recogniser()
    emotion = st.selectbox("Emotion to explain", model.class_names, model.class_names.index(recognition.answer.emotion))
    falls = explanation(stamp(*MODEL), recognition.mel, emotion)
    rate, mels = model.audio.sample_rate, model.mels
    st.pyplot(pictures.explained(recognition.mel, falls, rate, mels, theme()), width="stretch")
    st.caption(
        f"Blue places speak for {emotion}, orange ones against it: the probability of {emotion} falls, or rises, "
        "without them. Bars: the same by frequency and by time."
    )


@st.cache_data(max_entries=64, show_spinner="Covering one place after the other")
def explanation(stamp: Stamp, mel: np.ndarray, emotion: str) -> np.ndarray:
    return why.occlusion(recogniser(), mel, emotion)


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
    model, config = recogniser(), params.read("enhancement", EnhancementConfig)
    emotion = choice_column.selectbox("Emotion", model.class_names)
    strength = choice_column.slider("Strength", 0.1, 1.0, config.strength, 0.1)
    enhanced_mel = enhance(generators[0], mel, emotion, config.model_copy(update={"strength": strength}))
    show(clip_column, enhanced_mel, model.audio.sample_rate, model.mels)
    probability = model.probabilities([enhanced_mel])[0, model.class_names.index(emotion)]
    choice_column.metric(f"probability of {emotion}", f"{probability:.0%}")


def enhance(generator: str, mel: np.ndarray, emotion: str, config: EnhancementConfig) -> np.ndarray:
    """The mel [n_mels, frames] after enhancement under an emotion."""
    files = stamp(f"models/generators/{generator}.safetensors", "data/embeddings.safetensors")
    return _enhance(files, generator, mel, emotion, config.model_dump())


@st.cache_data(max_entries=64, show_spinner="Enhancing")
def _enhance(stamp: Stamp, generator: str, mel: np.ndarray, emotion: str, config: dict[str, Any]) -> np.ndarray:
    return _enhancer(stamp, generator)(mel, emotion, EnhancementConfig(**config))


@st.cache_resource(max_entries=1, show_spinner="Loading the generator")
def _enhancer(stamp: Stamp, generator: str) -> enhancing.Enhance:
    return enhancing.load(generator, dataset())
