"""The synthetic clips that the gallery shows, as sound: data/listen/GENERATOR/EMOTION-NUMBER.wav, 16 bits, mono."""

import sys

from ser.audio.griffin_lim import mel_to_samples, wav_bytes
from ser.audio.mel import Mels
from ser.core import params
from ser.core.atomic import replacing
from ser.core.stage import progress, stage
from ser.data.dataset import load_dataset
from ser.reporting import gallery


def main(name):
    settings, rate = params.read("mels", Mels), params.read("audio.sample_rate", int)
    real = load_dataset(params.read("emotions", list[str]), params.read("split.protocol", str))
    with replacing(f"data/listen/{name}") as temporary:
        temporary.mkdir()
        shown = gallery.synthetic(real, name)
        for emotion, mels in progress(shown.items(), f"listen-{name}", "emotion"):
            for number, mel in enumerate(mels):
                samples = mel_to_samples(mel.T, rate, settings)
                (temporary / f"{emotion}-{number}.wav").write_bytes(wav_bytes(samples, rate))


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
