"""Models of all folds in one safetensors file, next to a JSON file that says what built them."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor

from ser.core.atomic import replacing
from ser.core.errors import InputError
from ser.core.fold import Fold


def files(path: Path | str) -> list[str]:
    """The two files of the models at `path`."""
    return [f"{path}.json", f"{path}.safetensors"]


def save(path: Path | str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write `tensors` to `path`.safetensors and `facts` to `path`.json."""
    with replacing(f"{path}.safetensors") as temporary:
        temporary.write_bytes(serialise({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}))
    with replacing(f"{path}.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n")


def merge(path: Path | str, folders: list[Path], facts: dict[str, Any]) -> None:
    """Join what `save(folder / "model", ...)` left in the folder of each fold (or run), under its name."""
    tensors: dict[str, Tensor] = {}
    folds: dict[str, Any] = {}
    for folder in folders:
        model = load_file(folder / "model.safetensors")
        tensors |= {f"{folder.name}/{name}": tensor for name, tensor in model.items()}
        folds[folder.name] = json.loads((folder / "model.json").read_text())
    save(path, tensors, {**facts, "folds": folds})


def submodule(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The part of a state whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def load(path: Path | str, fold: Fold) -> dict[str, Tensor]:
    """The tensors of one fold, or of one run.

    Raises InputError where the file is missing or damaged, or where the tensors were made from other clips than the
    training part of `fold`.
    """
    try:
        digest = json.loads(Path(f"{path}.json").read_text())["folds"][fold.name]["train_digest"]
        with safe_open(f"{path}.safetensors", "pt") as file:
            prefix = f"{fold.name}/"
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118, not a dict
            tensors = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(
            f"{path}: no readable model of fold {fold.name} ({error}); run `dvc repro` or `dvc pull`"
        ) from None
    fold.check_train_digest(digest, str(path))
    return tensors
