"""The tab with generated clips next to real ones."""

from pathlib import Path

import streamlit as st

from app.common import dataset, explain_missing_files, show
from ser.audio.mel import MelConfig
from ser.core import params
from ser.evaluation.study import StudyConfig
from ser.reporting import gallery


@st.fragment
@explain_missing_files
def generated_clips() -> None:
    generators = params.read("study", StudyConfig).generators
    if not generators:
        st.info("No generators in this study.")
        return
    at_hand = [generator for generator in generators if Path(f"data/synthetic/{generator}/index.csv").exists()]
    if not at_hand:
        pictures(generators)
        return
    generator_column, emotion_column = st.columns(2)
    generator = generator_column.selectbox("Generator", at_hand)
    emotion = emotion_column.selectbox("Emotion of the clips", dataset().class_names)
    sides = {
        "Real, from the training part": gallery.real_mels(dataset()),
        f"By {generator}": gallery.synthetic_mels(dataset(), generator),
    }
    config, rate = params.read("mels", MelConfig), params.read("audio.sample_rate", int)
    st.caption("Griffin-Lim makes the sound of all clips, so that they can be compared by ear.")
    for title, mels in sides.items():
        st.subheader(title)
        for column, mel in zip(st.columns(gallery.COUNT), mels[emotion], strict=True):
            show(column, mel, rate, config)


def pictures(generators: list[str]) -> None:
    """What there is without the clips themselves."""
    st.info(
        "Pictures only: the clips themselves are not in Git. `dvc repro` makes them; `dvc pull --allow-missing` "
        "fetches them from a remote of your team."
    )
    generator = st.selectbox("Generator", generators)
    st.image(f"plots/gallery/{generator}.png")
