"""Real next to synthetic mels of every emotion, from the first fold, and the synthetic ones as sound.

The picture is plots/gallery/GENERATOR.png, the sound data/listen/GENERATOR/EMOTION-NUMBER.wav, 16 bits, mono.
"""

import sys

from ser.audio.griffin_lim import mel_to_samples, wav_bytes
from ser.audio.mel import MelConfig
from ser.core import params
from ser.core.atomic import replacing
from ser.core.stage import progress, stage
from ser.data.dataset import load_dataset
from ser.reporting import figures, gallery


def main(generator: str) -> None:
    mel_config, rate = params.read("mels", MelConfig), params.read("audio.sample_rate", int)
    dataset = load_dataset(params.read("emotions", list[str]), params.read("split.protocol", str))
    synthetic = gallery.synthetic_mels(dataset, generator)
    figure = figures.gallery(
        gallery.real_mels(dataset),
        synthetic,
        f"Real clips and clips of {generator}",
        mel_config.hop,
        rate,
        "Real: training clips of the first fold; synthetic: made from them alone, not chosen by hand.",
        mel_config.fmin,
        mel_config.fmax,
    )
    figures.save(figure, f"plots/gallery/{generator}.png")
    with replacing(f"data/listen/{generator}") as temporary:
        temporary.mkdir()
        for emotion, mels in progress(synthetic.items(), f"gallery-{generator}", "emotion"):
            for number, mel in enumerate(mels):
                samples = mel_to_samples(mel, rate, mel_config)
                (temporary / f"{emotion}-{number}.wav").write_bytes(wav_bytes(samples, rate))


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
