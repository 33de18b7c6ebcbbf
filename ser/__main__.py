"""`python -m ser predict PATH ...`: the emotion of sound files."""

import argparse
import json
import sys
import time

from ser import recogniser
from ser.core.errors import InputError
from ser.core.stage import progress, stage


def predict(paths, folder, as_json):
    """Print the probabilities of every file; files that cannot be read are named on stderr. Returns how many."""
    model, files, failed = recogniser.Recogniser.load(folder), recogniser.files(paths), 0
    if not as_json:
        print(*(f"{emotion:>9}" for emotion in model.emotions), " file", sep="  ")
    begun, bar = time.perf_counter(), progress(files, "predict", "clip")
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
        best = max(probabilities, key=probabilities.get)
        cells = (f"{value:>8.1%}{'*' if emotion == best else ' '}" for emotion, value in probabilities.items())
        bar.write("  ".join([*cells, f" {path}"]))
    seconds = time.perf_counter() - begun
    print(f"{len(files)} clips in {seconds:.2f} s, {len(files) / seconds:.1f} a second", file=sys.stderr)
    return failed


def main(arguments=None):
    parser = argparse.ArgumentParser("python -m ser", description="Emotion in speech.")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("predict", help="the probability of each emotion in sound files")
    command.add_argument("paths", nargs="+", metavar="PATH", help="a sound file, or a folder of them")
    command.add_argument("--json", action="store_true", help="a line of JSON a file")
    command.add_argument("--model", default=recogniser.FOLDER, metavar="FOLDER", help="default: %(default)s")
    chosen = parser.parse_args(arguments)
    if failed := predict(chosen.paths, chosen.model, chosen.json):
        sys.exit(f"{failed} of the files could not be read")


if __name__ == "__main__":
    stage(main)
