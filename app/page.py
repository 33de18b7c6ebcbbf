"""The page that `python -m app` serves, over the files of its working directory."""

import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import streamlit as st

from app import enhancing, pictures
from ser import audio, examples, params, scores, study, vocoder
from ser.errors import InputError
from ser.mels import Mels
from ser.recogniser import Recogniser

LONGEST = 60  # seconds of an uploaded clip
KINDS = ["wav", "flac", "ogg", "mp3"]


@st.cache_resource
def recogniser():
    return Recogniser.load()


@st.cache_resource
def real():
    return study.load(params.read("emotions", list[str]), params.read("split.protocol", str))


@st.cache_resource
def enhancers(name):
    return enhancing.load(name, real())


@st.cache_data(max_entries=64)
def enhanced(name, mel, emotion, strength):
    return enhancers(name)(mel, emotion, strength)


@st.cache_data(max_entries=64)
def sound(mel, rate, settings):
    """A WAV of what a mel [n_mels, frames] sounds like."""
    return wav(vocoder.sound(mel.T, rate, settings), rate)


def wav(samples, rate):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def show(place, mel, recording=None):
    """A mel with its sound: the recording, or what the vocoder makes of it."""
    settings, rate = mel_settings(), params.read("audio.sample_rate", int)
    place.pyplot(pictures.spectrogram(mel, rate, settings, theme()), width="stretch")
    place.audio(recording or sound(mel, rate, settings))


def mel_settings():
    return params.read("mels", Mels)


def theme():
    return st.context.theme.type or "light"


def main():
    st.set_page_config("Emotion in speech", page_icon="🗣", layout="wide")
    st.title("Emotion in speech")
    details = json.loads(Path("metrics/details.json").read_text())
    clips = ", ".join(details["corpora"])
    if "demo" in details["corpora"]:
        st.warning(f"These are models and results of the **demo** ({clips}): synthetic voices, which show that "
                   "everything works and say nothing about people.")
    else:
        st.caption(f"Models and results of {clips}: {scores.caption(details)}")
    clip, generated, results = st.tabs(["Your clip", "Generated clips", "Results"])
    with clip:
        your_clip()
    with generated:
        generated_clips()
    with results:
        tables(details)


@st.fragment
def your_clip():
    if st.segmented_control("Your clip", ["Upload", "Record"], default="Upload", required=True) == "Upload":
        file = st.file_uploader(f"A clip of speech, up to {LONGEST} s", KINDS)
    else:
        file = st.audio_input(f"Up to {LONGEST} s")
    if file is None:
        st.info("The model names one of " + ", ".join(recogniser().emotions) + ", whatever it hears; it learnt from "
                "actors and errs often.")
        return
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip"
            path.write_bytes(file.getvalue())
            mel = recogniser().mel(path, LONGEST)
            samples = audio.load(path, recogniser().audio)
    except InputError as error:
        st.error(f"This clip cannot be used: {str(error).partition(': ')[2] or error}.")
        return
    probabilities = dict(zip(recogniser().emotions, recogniser().probabilities(mel).tolist(), strict=True))
    best = max(probabilities, key=probabilities.get)
    rate = recogniser().audio.sample_rate
    heard, seen = st.columns(2)
    heard.metric("Heard", best, f"{probabilities[best]:.0%}", delta_color="off", delta_arrow="off")
    heard.bar_chart(pd.Series(probabilities, name="probability"), horizontal=True, sort=False, height=220)
    seen.pyplot(pictures.waveform(samples, rate, theme()), width="stretch")
    show(seen, mel, wav(samples, rate))
    enhancement(mel)


@st.fragment
def enhancement(mel):
    names = params.read("study", scores.Comparison).enhanced
    if not names or not Path(f"models/generators/{names[0]}.json").exists():
        return
    st.subheader("Enhanced")
    st.caption(f"Noised and denoised under an emotion by the {names[0]} model of the first fold: the source paper's "
               "idea. The stronger, the less of the clip is left.")
    asked, seen = st.columns(2)
    emotion = asked.selectbox("Emotion", recogniser().emotions)
    strength = asked.slider("Strength", 0.1, 1.0, 0.4, 0.1)
    made = enhanced(names[0], mel, emotion, strength)
    show(seen, made)
    probability = recogniser().probabilities(made)[recogniser().emotions.index(emotion)]
    asked.metric(f"heard as {emotion}", f"{probability:.0%}")


@st.fragment
def generated_clips():
    names = [name for name in params.read("study", scores.Comparison).generators
             if Path(f"data/synthetic/{name}/index.csv").exists()]
    if not names:
        st.info("No generators in this study.")
        return
    chosen, which = st.columns(2)
    name = chosen.selectbox("Generator", names)
    emotion = which.selectbox("Emotion of the clips", real().emotions)
    sides = {"Real, of the training part": examples.real(real()), f"By {name}": examples.synthetic(real(), name)}
    st.caption("All by the same vocoder, so that they can be compared by ear.")
    for title, mels in sides.items():
        st.subheader(title)
        for place, mel in zip(st.columns(examples.COUNT), mels[emotion], strict=True):
            show(place, np.asarray(mel))


def tables(details):
    st.markdown(scores.table(details))
    if details["quality"]:
        with st.expander("Quality of the generated clips"):
            st.markdown(scores.quality_table(details["quality"]))
            st.image("plots/quality.png")
    if len(details["enhanced"]["arms"]) > 1:
        with st.expander("Enhanced test clips"):
            st.markdown(f"{scores.table(details['enhanced'])}\n\n{scores.ENHANCED_NOTE}")
    for title, picture in {
        "UA of each arm": "ua", "Confusion": "confusion", "Recall of each emotion": "recall",
        "Learning curves": "learning_curves",
    }.items():
        with st.expander(title, expanded=picture == "ua"):
            st.image(f"plots/{picture}.png")
    for name in details["quality"]:
        with st.expander(f"Embeddings and gallery of {name}"):
            st.image([f"plots/embeddings/{name}.png", f"plots/gallery/{name}.png"])


main()
