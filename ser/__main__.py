"""The command `ser`, also `python -m ser`.

`ser predict PATH ...` prints the emotion in sound files; `ser cluster` runs the graph of dvc.yaml on many workers.
"""

import argparse
import io
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ser.core.errors import InputError
from ser.core.stage import progress, stage


def main() -> None:
    """Run the command; an expected failure ends it with one readable line and status 1.

    Ctrl-C and a reader that closes the pipe end it as they end other commands, without a word.
    """
    for name in ("SIGINT", "SIGPIPE"):
        if hasattr(signal, name):  # Windows has no SIGPIPE
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files in any encoding
    stage(run)


def run(arguments: Sequence[str] | None = None) -> None:
    """Parse `arguments`, those of the process by default, and do what they ask for."""
    from ser.models.exported import FOLDER  # here, as PyTorch takes seconds in which Ctrl-C may come

    parser = argparse.ArgumentParser("ser", description="Recognise emotion in speech, and run the study.")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("predict", help="print the probability of each emotion in sound files")
    command.add_argument("paths", nargs="+", metavar="PATH", help="a sound file, or a folder of sound files")
    command.add_argument("--json", dest="as_json", action="store_true", help="print one line of JSON per file")
    command.add_argument("--model", dest="folder", default=FOLDER, metavar="FOLDER", help="default: %(default)s")
    command.set_defaults(run=_predict)
    command = commands.add_parser("cluster", help="run the graph of dvc.yaml on many workers, with Ray")
    command.add_argument("targets", nargs="*", metavar="STAGE", help="with what they depend on; default: all stages")
    command.add_argument("--workers", type=int, help="tasks at a time, where Ray is started here; default: as fit")
    command.add_argument("--cpus", type=int, default=1, help="of a task: its number of threads; default: %(default)s")
    command.add_argument("--gpus", type=float, help="of a task, for instance 0.25; default: one, if there are any")
    command.add_argument("--retries", type=int, default=3, help="of a task whose process dies; default: %(default)s")
    command.set_defaults(run=_cluster)
    options = vars(parser.parse_args(arguments))
    options.pop("run")(**options)


def _predict(**options: Any) -> None:
    if failed := predict(**options):
        sys.exit(f"{failed} of the files could not be read")


def _cluster(**options: Any) -> None:
    from ser import cluster

    cluster.run(**options)


def predict(paths: Sequence[str], folder: str | Path, as_json: bool) -> int:
    """Print the probabilities for every file, name unreadable files on stderr, and return how many there were."""
    from ser import recogniser

    model = recogniser.Recogniser.load(folder)
    files, failed = [], 0
    for path in paths:
        try:
            sounds, notices = recogniser.files(path)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        files += sounds
        for notice in notices:
            print(f"notice: {notice}", file=sys.stderr)
    if not files:
        return failed
    if not as_json:
        print(*(f"{emotion:>9}" for emotion in model.class_names), " file", sep="  ")
    start, bar = time.perf_counter(), progress(files, "predict", "clip")
    for path in bar:
        try:
            answer = model.recognise(path)
        except InputError as error:
            bar.write(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        for notice in answer.notices:
            bar.write(f"notice: {path}: {notice}", file=sys.stderr)
        if as_json:
            line = {"path": str(path), "probabilities": answer.probabilities, "notices": answer.notices}
            bar.write(json.dumps(line))
            continue
        cells = (
            f"{value:>8.1%}{'*' if name == answer.emotion else ' '}" for name, value in answer.probabilities.items()
        )
        bar.write("  ".join([*cells, f" {path}"]))
    seconds = time.perf_counter() - start
    print(f"{len(files)} clips in {seconds:.2f} s, {len(files) / seconds:.1f} per second", file=sys.stderr)
    return failed


if __name__ == "__main__":
    main()
