"""Real beside synthetic mels of every emotion, from the first fold: plots/gallery/GENERATOR.png."""

import sys

from ser.audio.mel import Mels
from ser.core import params
from ser.core.stage import stage
from ser.data.dataset import load_dataset
from ser.reporting import figures, gallery


def main(name):
    settings, rate = params.read("mels", Mels), params.read("audio.sample_rate", int)
    real = load_dataset(params.read("emotions", list[str]), params.read("split.protocol", str))
    figure = figures.gallery(
        gallery.real(real),
        gallery.synthetic(real, name),
        f"Real clips and clips of {name}",
        settings.hop,
        rate,
        "Real: training clips of the first fold; synthetic: made from them alone, not chosen by hand.",
        settings.fmin,
        settings.fmax,
    )
    figures.save(figure, f"plots/gallery/{name}.png")


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
