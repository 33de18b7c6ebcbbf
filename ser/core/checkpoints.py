"""Models of all folds in one safetensors file, beside a JSON that says what built them."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as serialise

from ser.core.atomic import replacing
from ser.core.errors import InputError


def save(path, tensors, facts):
    """Write `tensors` (name -> Tensor) to `path`.safetensors and `facts` to `path`.json."""
    with replacing(f"{path}.safetensors") as temporary:
        temporary.write_bytes(serialise({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}))
    with replacing(f"{path}.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n")


def merge(path, folders, facts):
    """Join what `save(folder / "model", ...)` left in each unit's folder, under the unit's name."""
    tensors, units = {}, {}
    for folder in folders:
        model = load_file(folder / "model.safetensors")
        tensors |= {f"{folder.name}/{name}": tensor for name, tensor in model.items()}
        units[folder.name] = json.loads((folder / "model.json").read_text())
    save(path, tensors, {**facts, "units": units})


def load(path, fold):
    """Return the tensors of one fold; raises InputError where the file is missing or damaged, or where they were made
    from other clips than the training part of `fold`."""
    try:
        training = json.loads(Path(f"{path}.json").read_text())["units"][fold.name]["training"]
        with safe_open(f"{path}.safetensors", "pt") as file:
            prefix = f"{fold.name}/"
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118, not a dict
            tensors = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(
            f"{path}: no readable model of fold {fold.name} ({error}); run `dvc repro` or `dvc pull`"
        ) from None
    fold.same_training(training, path)
    return tensors
