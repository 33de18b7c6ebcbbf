"""The synthetic clips that the gallery shows, as sound: data/listen/GENERATOR/EMOTION-NUMBER.wav, 16 bits, mono."""

import sys

from ser.audio.griffin_lim import mel_to_samples, wav_bytes
from ser.audio.mel import MelConfig
from ser.core import params
from ser.core.atomic import replacing
from ser.core.stage import progress, stage
from ser.data.dataset import load_dataset
from ser.reporting import gallery


def main(generator: str) -> None:
    mel_config, rate = params.read("mels", MelConfig), params.read("audio.sample_rate", int)
    dataset = load_dataset(params.read("emotions", list[str]), params.read("split.protocol", str))
    with replacing(f"data/listen/{generator}") as temporary:
        temporary.mkdir()
        mels_of = gallery.synthetic_mels(dataset, generator)
        for emotion, mels in progress(mels_of.items(), f"listen-{generator}", "emotion"):
            for number, mel in enumerate(mels):
                samples = mel_to_samples(mel, rate, mel_config)
                (temporary / f"{emotion}-{number}.wav").write_bytes(wav_bytes(samples, rate))


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
