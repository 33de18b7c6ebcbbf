"""What the tabs of the page share: the model and the data of the working directory, kept while their files stay."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.media_file_storage import MediaFileStorageError

from app import pictures
from ser.audio.griffin_lim import mel_to_samples, wav_bytes
from ser.audio.mel import MelConfig
from ser.core import params
from ser.core.errors import InputError
from ser.data.dataset import FILES, Dataset, load_dataset
from ser.models.exported import FOLDER
from ser.recogniser import Recogniser

MODEL = (f"{FOLDER}/model.safetensors", f"{FOLDER}/model.json")
Stamp = tuple[int, ...]  # times of modification: changes when files are replaced, so that no old contents are shown


def explain_missing_files(section: Callable[..., None]) -> Callable[..., None]:
    """Make a section of the page explain that its files are missing, as they are while a run replaces them."""

    @functools.wraps(section)
    def wrapper(*arguments: Any) -> None:
        try:
            section(*arguments)
        except InputError as error:
            st.info(
                f"This part cannot be shown: {error}. If a run is just replacing these files, reload the page later."
            )
        except (OSError, MediaFileStorageError) as error:
            st.info(
                f"This part needs files that are not in Git ({error}). `dvc repro` makes them, `make demo` makes those "
                "of the demo (then `python -m app demo`), and `dvc pull --allow-missing` fetches them from a remote of "
                "your team. If a run is just replacing them, reload the page later."
            )

    return wrapper


def recogniser() -> Recogniser:
    return _recogniser(stamp(*MODEL))


@st.cache_resource(max_entries=1, show_spinner="Loading the model")
def _recogniser(stamp: Stamp) -> Recogniser:
    return Recogniser.load()


def dataset() -> Dataset:
    return _dataset(stamp(*FILES))


@st.cache_resource(max_entries=1, show_spinner="Loading the clips")
def _dataset(stamp: Stamp) -> Dataset:
    return load_dataset(params.read("emotions", list[str]), params.read("split.protocol", str))


def stamp(*paths: str) -> Stamp:
    return tuple(Path(path).stat().st_mtime_ns for path in paths)


@st.cache_data(max_entries=64, show_spinner="Making it audible")
def sound(mel: np.ndarray, rate: int, config: MelConfig) -> bytes:
    """A WAV file made from a mel [n_mels, frames] by Griffin-Lim."""
    return wav_bytes(mel_to_samples(mel, rate, config), rate)


def show(
    container: DeltaGenerator, mel: np.ndarray, rate: int, config: MelConfig, recording: bytes | None = None
) -> None:
    """Show a mel [n_mels, frames] with its sound: the recording if there is one, else that of Griffin-Lim."""
    container.pyplot(pictures.spectrogram(mel, rate, config, theme()), width="stretch")
    container.audio(recording or sound(mel, rate, config))


def theme() -> str:
    return st.context.theme.type or "light"
