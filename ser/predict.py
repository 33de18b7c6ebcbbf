"""`ser predict`: the emotion in sound files, as text, CSV or JSON lines."""

import csv
import io
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import torch

from ser.core.errors import InputError
from ser.core.stage import progress
from ser.recogniser import Recogniser, Segment, sound_files

Form = tuple[str, Callable[[Path, Segment], str]]  # a header, and the line of an answer


def run(paths: Sequence[str], folder: str | Path, form: str, every: float | None) -> int:
    """Print an answer for every file, or for every `every` seconds of it, and return how many could not be read.

    Notices and unreadable files are named on stderr. Every core reads files of its own.
    """
    model = Recogniser.load(folder)
    files, failed = _files(paths)
    if not files:
        return failed
    header, line = FORMS[form](model.class_names, bool(every))
    torch.set_num_threads(1)  # of each core

    def recognise(path: Path) -> list[Segment] | InputError:
        try:
            return model.segments(path, every) if every else [Segment(0.0, 0.0, model.recognise(path).answer)]
        except InputError as error:
            return error

    start = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as cores:
        bar = progress(zip(files, cores.map(recognise, files), strict=True), "predict", "clip", len(files))
        for path, answered in bar:
            if isinstance(answered, InputError):
                bar.write(f"error: {answered}", file=sys.stderr)
                failed += 1
                continue
            answers = [segment.answer for segment in answered if segment.answer]
            for notice in dict.fromkeys(notice for answer in answers for notice in answer.notices):
                bar.write(f"notice: {path}: {notice}", file=sys.stderr)
            if header:
                bar.write(header)
                header = ""
            for segment in answered:
                bar.write(line(path, segment))
    seconds = time.perf_counter() - start
    print(
        f"{len(files)} file{'s' * (len(files) != 1)} in {seconds:.2f} s, {len(files) / seconds:.1f} per second",
        file=sys.stderr,
    )
    return failed


def _files(paths: Sequence[str]) -> tuple[list[Path], int]:
    """The sound files that `paths` stand for, and how many paths stand for none."""
    files, failed = [], 0
    for path in paths:
        try:
            sounds, notices = sound_files(path)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        files += sounds
        for notice in notices:
            print(f"notice: {notice}", file=sys.stderr)
    return files, failed


def _text(class_names: Sequence[str], timed: bool) -> Form:
    """Columns: * is the most probable emotion, ? the same where the model is unsure."""
    times = f"{'start':>9}  {'end':>9}  " if timed else ""

    def line(path: Path, segment: Segment) -> str:
        cells = [f"{segment.start:>9.2f}", f"{segment.end:>9.2f}"] if timed else []
        if answer := segment.answer:
            mark = "?" if answer.unsure else "*"
            cells += [
                f"{value:>8.1%}{mark if name == answer.emotion else ' '}"
                for name, value in answer.probabilities.items()
            ]
        else:
            cells += [f"{'-':>8} "] * len(class_names)
        return "  ".join([*cells, f" {path}"])

    return times + "  ".join([*(f"{emotion:>9}" for emotion in class_names), " file"]), line


def _csv(class_names: Sequence[str], timed: bool) -> Form:
    times = ["start", "end"] if timed else []

    def line(path: Path, segment: Segment) -> str:
        cells: list[object] = [path, *([segment.start, segment.end] if timed else [])]
        if answer := segment.answer:
            probabilities = [f"{value:.4f}" for value in answer.probabilities.values()]
            cells += [answer.emotion, int(answer.unsure), *probabilities, "; ".join(answer.notices)]
        else:
            cells += [""] * (3 + len(class_names))
        return _csv_line(cells)

    return _csv_line(["path", *times, "emotion", "unsure", *class_names, "notices"]), line


def _csv_line(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _json(class_names: Sequence[str], timed: bool) -> Form:
    def line(path: Path, segment: Segment) -> str:
        times = {"start": segment.start, "end": segment.end} if timed else {}
        answer = segment.answer
        said = {"emotion": answer.emotion, **asdict(answer)} if answer else {"emotion": None}
        return json.dumps({"path": str(path), **times, **said})

    return "", line


FORMS: dict[str, Callable[[Sequence[str], bool], Form]] = {"text": _text, "csv": _csv, "json": _json}
