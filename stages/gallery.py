"""Real beside synthetic mels of every emotion, from the first fold: plots/gallery/GENERATOR.png."""

import sys

from ser import examples, figures, params, study
from ser.mels import Mels
from ser.runtime import stage


def main(name):
    settings, rate = params.read("mels", Mels), params.read("audio.sample_rate", int)
    real = study.load(params.read("emotions", list[str]), params.read("split.protocol", str))
    figure = figures.gallery(
        examples.real(real),
        examples.synthetic(real, name),
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
