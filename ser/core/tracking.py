"""Curves of training: logged through DVCLive while a fold is trained, then gathered in one table."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from ser.core.optim import Log


@contextmanager
def live(folder: Path) -> Iterator[Log]:
    """Yield a Log whose every call is the next step of the DVCLive folder `folder`."""
    from dvclive import Live

    with Live(str(folder), dvcyaml=None, save_dvc_exp=False, report=None, monitor_system=False) as logger:

        def log(metrics: dict[str, float]) -> None:
            for name, value in metrics.items():
                logger.log_metric(name, value)
            logger.next_step()

        yield log


def read(folders: list[Path], step: str) -> pd.DataFrame:
    """The curves in the folder `live` of each of `folders`, which are named repeat-fold or repeat-fold-run.

    The columns are `repeat`, `fold` and `run`, as far as they are named, the number of the `step` (for instance of an
    epoch), and one per metric.
    """
    tables = []
    for folder in folders:
        metrics = {
            path.stem: pd.read_csv(path, sep="\t", index_col="step")[path.stem]
            for path in sorted((folder / "live" / "plots" / "metrics").glob("*.tsv"))
        }
        table = pd.DataFrame(metrics).reset_index(names=step)
        table[step] += 1
        numbers = dict(zip(("repeat", "fold", "run"), map(int, folder.name.split("-")), strict=False))
        tables.append(table.assign(**numbers)[[*numbers, *table]])
    return pd.concat(tables, ignore_index=True)
