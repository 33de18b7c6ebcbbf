"""Real beside synthetic mels of every emotion, from the first fold: plots/gallery/GENERATOR.png."""

import sys

from ser import figures, packs, params, study
from ser.mels import Mels
from ser.runtime import stage

SHOWN = 3  # mels an emotion and side


def main(name):
    settings, rate = params.read("mels", Mels), params.read("audio.sample_rate", int)
    real = study.load(params.read("emotions", list[str]), params.read("split.protocol", str))
    fold = real.folds[0]
    synthetic = packs.read(f"data/synthetic/{name}")
    drawn = synthetic.index[(synthetic.index["repeat"] == fold.repeat) & (synthetic.index["fold"] == fold.fold)]
    figure = figures.gallery(
        {emotion: _some(real.pack, [clip for clip in fold.train if real.emotion[clip] == emotion])
         for emotion in real.emotions},
        {emotion: _some(synthetic, list(drawn["clip"][drawn["emotion"] == emotion])) for emotion in real.emotions},
        f"Real clips and clips of {name}",
        settings.hop,
        rate,
        "Real: training clips of the first fold; synthetic: made from them alone, not chosen by hand.",
        settings.fmin,
        settings.fmax,
    )
    figures.save(figure, f"plots/gallery/{name}.png")


def _some(pack, clips):
    """A few clips, evenly spread over the list."""
    return [pack.clip(clips[place * len(clips) // SHOWN]) for place in range(SHOWN)]


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
