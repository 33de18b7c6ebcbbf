"""`python -m app.report [REVISION]`: the results of the study as one self-contained page, report.html."""

import argparse
import base64
import io
import json
import os
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import soundfile
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from app import artifacts
from ser.core import params
from ser.core.atomic import replacing
from ser.core.errors import InputError
from ser.core.stage import stage
from ser.reporting import tables

HERE = Path(__file__).parent
SUMMARY = "plots/summary.png"  # of the committed study (`python -m scripts.results`)
PACKAGES = "torch", "torchvision", "diffusers", "numpy", "pandas", "scikit-learn", "librosa", "soxr", "dvc"


def main() -> None:
    """Write report.html. Raises InputError where the study has no results yet."""
    parser = argparse.ArgumentParser("python -m app.report", description=__doc__.partition(": ")[2])
    parser.add_argument("revision", nargs="?", help="an experiment or a commit; default: the workspace")
    revision = parser.parse_args().revision
    path = Path("report.html").absolute()
    if revision:
        os.chdir(artifacts.folder(revision))
        source = f"{revision}, commit {json.loads(Path('revision.json').read_text())[:7]}"
    else:
        source = commit()
    try:
        details = json.loads(Path("metrics/details.json").read_text())
    except FileNotFoundError:
        raise InputError("metrics/details.json is missing: there are no results yet; run `dvc repro`") from None
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"markdown": markdown, "picture": picture, "sound": sound}
    page = environment.get_template("report.html.j2").render(
        headline=headline(details),
        summary=None if revision or not Path(SUMMARY).exists() else SUMMARY,
        tables=tables.sections(details),
        pictures=artifacts.PICTURES,
        generators={name: listen(name) for name in details["quality"]},
        params=Path(params.PATH).read_text(),
        versions={package: version(package) for package in PACKAGES},
        source=source,
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")


def headline(details: dict[str, Any]) -> str:
    """The arm with the highest UA, and the difference of every other arm from the baseline."""
    ua_of = {arm: metrics["overall"]["ua"] for arm, metrics in details["arms"].items()}
    best = max(ua_of, key=lambda arm: ua_of[arm]["value"])
    differences = [
        f"{arm} {tables.percent(metrics['against']['baseline']['ua'], '+')}"
        for arm, metrics in details["arms"].items()
        if "baseline" in metrics["against"]
    ]
    text = f"The arm **{best}** has the highest mean recall over emotions (UA): {tables.percent(ua_of[best])} %."
    return text + (f" Difference from the baseline, in points: {'; '.join(differences)}." if differences else "")


def listen(generator: str) -> dict[str, Path]:
    """A sound file of each emotion, made by a generator; empty where the files were not pulled."""
    files = sorted(Path(f"data/listen/{generator}").glob("*-0.wav"))
    return {path.stem.removesuffix("-0"): path for path in files}


def markdown(text: str) -> Markup:
    """Markdown as HTML."""
    return Markup(MarkdownIt().enable("table").render(text))


def picture(path: str) -> str:
    """A PNG as a data URL."""
    return _inline("image/png", Path(path).read_bytes())


def sound(path: Path) -> str:
    """A clip as a data URL: an MP3 of a tenth of the size of the WAV."""
    samples, rate = soundfile.read(path)
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="MP3")
    return _inline("audio/mpeg", file.getvalue())


def _inline(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def commit() -> str:
    """The commit of the workspace, with a mark if there are uncommitted changes."""
    command = ["git", "describe", "--always", "--dirty"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return f"commit {output.strip() or 'unknown'}"


if __name__ == "__main__":
    stage(main)
