"""Real next to synthetic mels of every emotion, from the first fold: plots/gallery/GENERATOR.png."""

import sys

from ser.audio.mel import MelConfig
from ser.core import params
from ser.core.stage import stage
from ser.data.dataset import load_dataset
from ser.reporting import figures, gallery


def main(generator: str) -> None:
    mel_config, rate = params.read("mels", MelConfig), params.read("audio.sample_rate", int)
    dataset = load_dataset(params.read("emotions", list[str]), params.read("split.protocol", str))
    figure = figures.gallery(
        gallery.real_mels(dataset),
        gallery.synthetic_mels(dataset, generator),
        f"Real clips and clips of {generator}",
        mel_config.hop,
        rate,
        "Real: training clips of the first fold; synthetic: made from them alone, not chosen by hand.",
        mel_config.fmin,
        mel_config.fmax,
    )
    figures.save(figure, f"plots/gallery/{generator}.png")


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
