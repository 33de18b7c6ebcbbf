"""The synthetic clips that the gallery shows, as sound: data/listen/GENERATOR/EMOTION-NUMBER.wav, 16 bits, mono."""

import sys

from ser import examples, params, study, vocoder
from ser.mels import Mels
from ser.runtime import progress, replacing, stage


def main(name):
    settings, rate = params.read("mels", Mels), params.read("audio.sample_rate", int)
    real = study.load(params.read("emotions", list[str]), params.read("split.protocol", str))
    with replacing(f"data/listen/{name}") as temporary:
        temporary.mkdir()
        shown = examples.synthetic(real, name)
        for emotion, mels in progress(shown.items(), f"listen-{name}", "emotion"):
            for number, mel in enumerate(mels):
                samples = vocoder.sound(mel.T, rate, settings)
                (temporary / f"{emotion}-{number}.wav").write_bytes(vocoder.wav(samples, rate))


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
