"""The tab with the results of the study."""

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from app.artifacts import PICTURES
from app.common import explain_missing_files
from ser.data import manifest
from ser.evaluation.predictions import read_predictions
from ser.reporting import tables

PLAYED = 6  # clips of a cell of the confusion matrix


@explain_missing_files
def results(details: dict[str, Any]) -> None:
    (_, arms), *others = tables.sections(details)
    st.markdown(arms)
    for title, table in others:
        with st.expander(title):
            st.markdown(table)
    with st.expander("Single speakers"):
        arm = st.selectbox("Arm", list(details["arms"]), key="arm of speakers")
        speakers = details["arms"][arm]["speakers"]
        st.bar_chart(pd.Series(speakers, name="UA"), horizontal=True, sort=False, height=60 + 20 * len(speakers))
    with st.expander("Errors, to listen to"):
        errors(details)
    for number, (title, picture) in enumerate(PICTURES.items()):
        with st.expander(title, expanded=number == 0):
            st.image(picture)
    for generator in details["quality"]:
        with st.expander(f"Embeddings and gallery of {generator}"):
            st.image([f"plots/embeddings/{generator}.png", f"plots/gallery/{generator}.png"])


@st.fragment
@explain_missing_files
def errors(details: dict[str, Any]) -> None:
    """The confusion matrix of an arm; a click on a cell plays its clips where their recordings are at hand."""
    class_names = details["emotions"]
    arm = st.selectbox("Arm", list(details["arms"]), key="arm of errors")
    predictions = read_predictions(f"metrics/predictions/{arm}.csv", class_names)
    matrix = pd.crosstab(predictions["emotion"], predictions["predicted"]).reindex(
        index=class_names, columns=class_names, fill_value=0
    )
    st.caption("Predictions for test speakers. Rows: the emotion acted; columns: the one recognised. Click on a cell.")
    chosen = st.dataframe(matrix, on_select="rerun", selection_mode="single-cell", width="stretch")
    cells = chosen["selection"]["cells"]
    if not cells:
        return
    row, predicted = cells[0]
    emotion = class_names[row]
    clips = clips_of_cell(predictions, emotion, predicted)
    st.markdown(f"**{emotion}** recognised as **{predicted}** (clips: {len(clips)}), the most confident first")
    paths = recordings()
    columns = st.columns(3)
    for number, (clip, probability) in enumerate(clips.head(PLAYED).items()):
        column = columns[number % len(columns)]
        column.markdown(f"`{clip}` {probability:.0%} {predicted}")
        if clip in paths:
            column.audio(paths[clip])
    if not paths:
        st.caption(
            "To hear them: `dvc repro catalogue` downloads the recordings (255 MB), or takes them from the folder "
            "`SER_MIRROR`. They are not in Git."
        )


def clips_of_cell(predictions: pd.DataFrame, emotion: str, predicted: str) -> pd.Series:
    """The clips of an emotion that some run recognises as `predicted`, and its mean probability; highest first."""
    own = predictions[(predictions["emotion"] == emotion) & (predictions["predicted"] == predicted)]
    return own.groupby("clip")[predicted].mean().sort_values(ascending=False)


def recordings() -> dict[str, str]:
    """The recordings at hand, by clip."""
    if not Path("data/catalogue.csv").exists():
        return {}
    catalogue = manifest.load("data/catalogue.csv")
    return {clip: path for clip, path in zip(catalogue["clip"], catalogue["path"], strict=True) if Path(path).exists()}
