"""Curves of training: logged through DVCLive while a fold is trained, then gathered in one table."""

from contextlib import contextmanager

import pandas as pd


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


def read(folders, step):
    """The curves in `live` of the folders of some units, each named repeat-fold, as a table: `repeat,fold`, the number
    of the `step` (an epoch, say) and a column a figure."""
    tables = []
    for folder in folders:
        repeat, fold = map(int, folder.name.split("-"))
        figures = {
            path.stem: pd.read_csv(path, sep="\t", index_col="step")[path.stem]
            for path in sorted((folder / "live" / "plots" / "metrics").glob("*.tsv"))
        }
        table = pd.DataFrame(figures).reset_index(names=step)
        table[step] += 1
        table.insert(0, "fold", fold)
        table.insert(0, "repeat", repeat)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
