"""The command `ser`, also `python -m ser`.

`ser predict PATH ...` prints the emotion in sound files; `ser run` runs the graph of dvc.yaml, two stages at a time,
and `ser cluster` on many workers.
"""

import argparse
import io
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ser.core.stage import stage

LEAST_SECONDS, MOST_SECONDS = 0.5, 60.0  # of a segment
ROOT = Path(__file__).parents[1]  # of the clone, whose model is used from any folder


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
    form = command.add_mutually_exclusive_group()
    form.add_argument("--csv", dest="form", action="store_const", const="csv", help="print a table in CSV")
    form.add_argument("--json", dest="form", action="store_const", const="json", help="print one line of JSON per file")
    command.add_argument(
        "--every",
        type=_seconds,
        metavar="SECONDS",
        help="answer for each segment of SECONDS; files may be of any length",
    )
    command.add_argument("--model", dest="folder", default=ROOT / FOLDER, metavar="FOLDER", help="default: %(default)s")
    command.set_defaults(run=_predict, form="text")
    targets = argparse.ArgumentParser(add_help=False)
    targets.add_argument("targets", nargs="*", metavar="STAGE", help="with what they depend on; default: all stages")
    command = commands.add_parser("run", parents=[targets], help="run the graph of dvc.yaml, two stages at a time")
    command.set_defaults(run=_run)
    command = commands.add_parser(
        "cluster", parents=[targets], help="run the graph of dvc.yaml on many workers, with Ray"
    )
    command.add_argument(
        "--workers", type=int, help="tasks at a time, where Ray is started here; default: as the CPUs allow"
    )
    command.add_argument("--cpus", type=int, default=1, help="CPUs, and so threads, per task; default: %(default)s")
    command.add_argument("--gpus", type=float, help="GPUs per task, for instance 0.25; default: one, if there are any")
    command.add_argument(
        "--retries",
        type=int,
        default=3,
        help="how often a task is started again whose process died; default: %(default)s",
    )
    command.set_defaults(run=_cluster)
    options = vars(parser.parse_args(arguments))
    options.pop("run")(**options)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"must lie between {LEAST_SECONDS:g} and {MOST_SECONDS:g} seconds")
    return seconds


def _predict(**options: Any) -> None:
    from ser import predict

    if failed := predict.run(**options):
        sys.exit(f"{failed} of the files could not be read")


def _run(targets: Sequence[str]) -> None:
    from ser import graph

    graph.run(targets)


def _cluster(**options: Any) -> None:
    from ser import cluster

    cluster.run(**options)


if __name__ == "__main__":
    main()
