"""The page that `python -m app` serves, over the files of its working directory."""

import functools
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.runtime.media_file_storage import MediaFileStorageError

from app import enhancing, pictures
from ser.audio.griffin_lim import mel_to_samples, wav_bytes
from ser.audio.mel import MelConfig
from ser.core import params
from ser.core.errors import InputError
from ser.data.dataset import FILES, load_dataset
from ser.evaluation.statistics import StudyConfig
from ser.models.exported import FOLDER
from ser.recogniser import Recogniser
from ser.reporting import gallery, tables

LONGEST = 60  # seconds of an uploaded clip
KINDS = ["wav", "flac", "ogg", "mp3"]


def patient(part):
    """A part of the page that says so where its files are missing, as they are while a run makes them anew."""

    @functools.wraps(part)
    def shown(*arguments):
        try:
            part(*arguments)
        except (OSError, MediaFileStorageError, InputError) as error:
            st.info(f"These files are being made, or were not pulled ({error}). Reload the page in a while.")

    return shown


def recogniser():
    return _recogniser(_stamp(f"{FOLDER}/model.safetensors", f"{FOLDER}/model.json"))


@st.cache_resource(max_entries=1)
def _recogniser(stamp):
    return Recogniser.load()


def dataset():
    return _dataset(_stamp(*FILES))


@st.cache_resource(max_entries=1)
def _dataset(stamp):
    return load_dataset(params.read("emotions", list[str]), params.read("split.protocol", str))


def enhanced(name, mel, emotion, strength):
    stamp = _stamp(f"models/generators/{name}.safetensors", "data/embeddings.safetensors")
    return _enhanced(stamp, name, mel, emotion, strength)


@st.cache_data(max_entries=64)
def _enhanced(stamp, name, mel, emotion, strength):
    return _enhancer(stamp, name)(mel, emotion, strength)


@st.cache_resource(max_entries=1)
def _enhancer(stamp, name):
    return enhancing.load(name, dataset())


def _stamp(*paths):
    """What changes when files are made anew, so that nothing old is shown beside the new."""
    return tuple(Path(path).stat().st_mtime_ns for path in paths)


@st.cache_data(max_entries=64)
def sound(mel, rate, settings):
    """A WAV of what a mel [n_mels, frames] sounds like."""
    return wav_bytes(mel_to_samples(mel.T, rate, settings), rate)


def show(place, mel, recording=None):
    """A mel with its sound: the recording, or what the vocoder makes of it."""
    settings, rate = params.read("mels", MelConfig), params.read("audio.sample_rate", int)
    place.pyplot(pictures.spectrogram(mel, rate, settings, theme()), width="stretch")
    place.audio(recording or sound(mel, rate, settings))


def theme():
    return st.context.theme.type or "light"


@patient
def main():
    details = json.loads(Path("metrics/details.json").read_text())
    clips = ", ".join(details["corpora"])
    if "demo" in details["corpora"]:
        st.warning(
            f"These are models and results of the **demo** ({clips}): synthetic voices, which show that "
            "everything works and say nothing about people."
        )
    else:
        st.caption(f"Models and results of {clips}: {tables.caption(details)}")
    clip, generated, results = st.tabs(["Your clip", "Generated clips", "Results"])
    with clip:
        your_clip()
    with generated:
        generated_clips()
    with results:
        show_tables(details)


@st.fragment
@patient
def your_clip():
    if st.segmented_control("Your clip", ["Upload", "Record"], default="Upload", required=True) == "Upload":
        file = st.file_uploader(f"A clip of speech, up to {LONGEST} s", KINDS)
    else:
        file = st.audio_input(f"Up to {LONGEST} s")
    if file is None:
        st.info(
            "The model names one of " + ", ".join(recogniser().class_names) + ", whatever it hears; it learnt from "
            "actors and errs often."
        )
        return
    model = recogniser()
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip"
            path.write_bytes(file.getvalue())
            samples = model.samples(path, LONGEST)
    except InputError as error:
        st.error(f"This clip cannot be used: {str(error).partition(': ')[2] or error}.")
        return
    mel = model.mel(samples)
    probabilities = dict(zip(model.class_names, model.probabilities(mel).tolist(), strict=True))
    best = max(probabilities, key=probabilities.get)
    rate = model.audio.sample_rate
    heard, seen = st.columns(2)
    heard.metric("Heard", best, f"{probabilities[best]:.0%}", delta_color="off", delta_arrow="off")
    heard.bar_chart(pd.Series(probabilities, name="probability"), horizontal=True, sort=False, height=220)
    seen.pyplot(pictures.waveform(samples, rate, theme()), width="stretch")
    show(seen, mel, wav_bytes(samples, rate))
    enhancement(mel)


@st.fragment
@patient
def enhancement(mel):
    names = params.read("study", StudyConfig).enhanced
    if not names or not Path(f"models/generators/{names[0]}.json").exists():
        return
    st.subheader("Enhanced")
    st.caption(
        f"Noised and denoised under an emotion by the {names[0]} model of the first fold: the source paper's "
        "idea. The stronger, the less of the clip is left."
    )
    asked, seen = st.columns(2)
    emotion = asked.selectbox("Emotion", recogniser().class_names)
    strength = asked.slider("Strength", 0.1, 1.0, 0.4, 0.1)
    made = enhanced(names[0], mel, emotion, strength)
    show(seen, made)
    probability = recogniser().probabilities(made)[recogniser().class_names.index(emotion)]
    asked.metric(f"heard as {emotion}", f"{probability:.0%}")


@st.fragment
@patient
def generated_clips():
    names = [
        name
        for name in params.read("study", StudyConfig).generators
        if Path(f"data/synthetic/{name}/index.csv").exists()
    ]
    if not names:
        st.info("No generators in this study.")
        return
    chosen, which = st.columns(2)
    name = chosen.selectbox("Generator", names)
    emotion = which.selectbox("Emotion of the clips", dataset().class_names)
    sides = {
        "Real, of the training part": gallery.real_mels(dataset()),
        f"By {name}": gallery.synthetic_mels(dataset(), name),
    }
    st.caption("All by the same vocoder, so that they can be compared by ear.")
    for title, mels in sides.items():
        st.subheader(title)
        for place, mel in zip(st.columns(gallery.COUNT), mels[emotion], strict=True):
            show(place, np.asarray(mel))


def show_tables(details):
    st.markdown(tables.table(details))
    if details["quality"]:
        with st.expander("Quality of the generated clips"):
            st.markdown(tables.quality_table(details["quality"]))
            st.image("plots/quality.png")
    if len(details["enhanced"]["arms"]) > 1:
        with st.expander("Enhanced test clips"):
            st.markdown(f"{tables.table(details['enhanced'])}\n\n{tables.ENHANCED_NOTE}")
    for title, picture in {
        "UA of each arm": "ua",
        "Confusion": "confusion",
        "Recall of each emotion": "recall",
        "Learning curves": "learning_curves",
    }.items():
        with st.expander(title, expanded=picture == "ua"):
            st.image(f"plots/{picture}.png")
    for name in details["quality"]:
        with st.expander(f"Embeddings and gallery of {name}"):
            st.image([f"plots/embeddings/{name}.png", f"plots/gallery/{name}.png"])


st.set_page_config("Emotion in speech", page_icon="🗣", layout="wide")
st.title("Emotion in speech")
main()
