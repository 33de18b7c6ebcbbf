"""The page that `python -m app` serves, from the files of its working directory."""

import json
from pathlib import Path

import streamlit as st

from app.common import explain_missing_files
from app.generated_clips import generated_clips
from app.results import results
from app.your_clips import your_clips
from ser.reporting import tables


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
    your_clips_tab, generated_clips_tab, results_tab = st.tabs(["Your clips", "Generated clips", "Results"])
    with your_clips_tab:
        your_clips()
    with generated_clips_tab:
        generated_clips()
    with results_tab:
        results(details)


st.set_page_config("Emotion in speech", page_icon="🗣", layout="wide")
st.title("Emotion in speech")
main()
