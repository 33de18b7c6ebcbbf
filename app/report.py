"""`python -m app.report [REVISION]`: the study as one page that needs no other file, report.html."""

import base64
import io
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

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
PACKAGES = "torch", "torchvision", "diffusers", "numpy", "pandas", "scikit-learn", "librosa", "soxr", "dvc"
PICTURES = {
    "UA of each arm": "plots/ua.png",
    "Recall of each emotion": "plots/recall.png",
    "What is taken for what": "plots/confusion.png",
    "Learning curves": "plots/learning_curves.png",
    "Quality of the generated clips": "plots/quality.png",
    "Enhanced test clips": "plots/enhanced.png",
}


def main(revision=None):
    """Raises InputError where the study has no results yet."""
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
        tables=tables_of(details),
        pictures=PICTURES,
        generators={name: listen(name) for name in details["quality"]},
        params=Path(params.PATH).read_text(),
        versions={package: version(package) for package in PACKAGES},
        source=source,
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")


def headline(details):
    """The best arm, and how each other one stands to plain training."""
    arms = {arm: figures["overall"]["ua"] for arm, figures in details["arms"].items()}
    best = max(arms, key=lambda arm: arms[arm]["value"])
    changes = [
        f"{arm} {tables.percent(figures['against']['baseline']['ua'], '+')}"
        for arm, figures in details["arms"].items()
        if "baseline" in figures["against"]
    ]
    text = f"The best mean recall (UA) is that of **{best}**: {tables.percent(arms[best])} %."
    return text + (f" Against plain training, in points: {'; '.join(changes)}." if changes else "")


def tables_of(details):
    """Their titles and texts."""
    yield "Arms", tables.table(details)
    if details["quality"]:
        yield "Quality of the generated clips", tables.quality_table(details["quality"])
    if len(details["enhanced"]["arms"]) > 1:
        yield "Enhanced test clips", f"{tables.table(details['enhanced'])}\n\n{tables.ENHANCED_NOTE}"


def listen(name):
    """`{emotion: file}`, one clip an emotion that a generator made; none where they were not pulled."""
    files = sorted(Path(f"data/listen/{name}").glob("*-0.wav"))
    return {path.stem.removesuffix("-0"): path for path in files}


def markdown(text):
    return Markup(MarkdownIt().enable("table").render(text))


def picture(path):
    return _inline("image/png", Path(path).read_bytes())


def sound(path):
    """A clip as MP3, a tenth of the WAV."""
    samples, rate = soundfile.read(path)
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="MP3")
    return _inline("audio/mpeg", file.getvalue())


def _inline(kind, content):
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def commit():
    """That of the workspace, marked where there are changes beside it."""
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
    return f"commit {done.stdout.strip() or 'unknown'}"


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
