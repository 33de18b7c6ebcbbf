"""Curves of training, logged through DVCLive, one folder a fold, and read back as a table."""

from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from ser.errors import InputError


@contextmanager
def live(folder):
    """Yield a function that logs a dict of figures as the next step of a DVCLive folder."""
    from dvclive import Live

    with Live(str(folder), dvcyaml=None, save_dvc_exp=False, report=None, monitor_system=False) as logger:

        def log(figures):
            for name, value in figures.items():
                logger.log_metric(name, value)
            logger.next_step()

        yield log


def read(folder):
    """The curves of all folds under `folder` as a table: `repeat,fold,epoch` and a column a figure."""
    tables = []
    for fold in sorted(path for path in Path(folder).glob("*-*") if path.is_dir()):
        repeat, number = map(int, fold.name.split("-"))
        figures = {
            path.stem: pd.read_csv(path, sep="\t", index_col="step")[path.stem]
            for path in sorted((fold / "plots" / "metrics").glob("*.tsv"))
        }
        table = pd.DataFrame(figures).reset_index(names="epoch")
        tables.append(table.assign(repeat=repeat, fold=number, epoch=table.epoch + 1))
    if not tables:
        raise InputError(f"{folder}: no curves of training there; make them with `dvc repro`")
    return pd.concat(tables, ignore_index=True)
