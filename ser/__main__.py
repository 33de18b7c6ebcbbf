"""The command `ser`, also `python -m ser`: `ser predict PATH ...` prints the emotion in sound files."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ser import recogniser
from ser.core.errors import InputError
from ser.core.stage import progress, stage


def main() -> None:
    """Run the command; an expected failure ends it with one readable line and status 1."""
    stage(run)


def run(arguments: Sequence[str] | None = None) -> None:
    """Parse `arguments`, those of the process by default, and do what they ask for."""
    parser = argparse.ArgumentParser("ser", description="Recognise emotion in speech.")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("predict", help="print the probability of each emotion in sound files")
    command.add_argument("paths", nargs="+", metavar="PATH", help="a sound file, or a folder of sound files")
    command.add_argument("--json", action="store_true", help="print one line of JSON per file")
    command.add_argument("--model", default=recogniser.FOLDER, metavar="FOLDER", help="default: %(default)s")
    options = parser.parse_args(arguments)
    if failed := predict(options.paths, options.model, options.json):
        sys.exit(f"{failed} of the files could not be read")


def predict(paths: Sequence[str], folder: str | Path, as_json: bool) -> int:
    """Print the probabilities for every file, name unreadable files on stderr, and return how many there were."""
    model, files, failed = recogniser.Recogniser.load(folder), recogniser.files(paths), 0
    if not as_json:
        print(*(f"{emotion:>9}" for emotion in model.class_names), " file", sep="  ")
    start, bar = time.perf_counter(), progress(files, "predict", "clip")
    for path in bar:
        try:
            probabilities = model(path)
        except InputError as error:
            bar.write(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        if as_json:
            bar.write(json.dumps({"path": str(path), "probabilities": probabilities}))
            continue
        best = max(probabilities, key=lambda emotion: probabilities[emotion])
        cells = (f"{value:>8.1%}{'*' if emotion == best else ' '}" for emotion, value in probabilities.items())
        bar.write("  ".join([*cells, f" {path}"]))
    seconds = time.perf_counter() - start
    print(f"{len(files)} clips in {seconds:.2f} s, {len(files) / seconds:.1f} per second", file=sys.stderr)
    return failed


if __name__ == "__main__":
    main()
