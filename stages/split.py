"""The folds: data/splits.csv, of the clips that carry one of the selected emotions."""

from ser.core import params
from ser.core.atomic import replacing
from ser.core.errors import InputError
from ser.core.stage import stage
from ser.data import manifest, splits


def main() -> None:
    emotions = params.read("emotions", list[manifest.Emotion])
    config = params.read("split", splits.SplitConfig)
    table = manifest.load("data/catalogue.csv")
    absent = [emotion for emotion in emotions if emotion not in set(table["emotion"])]
    if absent or len(emotions) < 2 or len(set(emotions)) < len(emotions):
        raise InputError(
            "params.yaml: key `emotions`: expected two or more, each once, that the selected corpora hold; "
            f"no clip carries: {', '.join(absent) or '-'}"
        )
    selected = table[table["emotion"].isin(emotions)]
    split = splits.make(selected, config)
    with replacing("data/splits.csv") as temporary:
        split.to_csv(temporary, index=False)
    print(f"{len(selected)} clips of {selected.speaker.nunique()} speakers, {config.protocol} protocol")
    print(split.pivot_table(index=["repeat", "fold"], columns="role", values="clip", aggfunc="count"))


if __name__ == "__main__":
    stage(main)
