"""Mel spectrograms of every clip in the catalogue, packed: data/mels."""

import numpy as np
from threadpoolctl import threadpool_limits

from ser import audio, catalogue, mels, packs, params, threads
from ser.runtime import progress, stage


def main():
    sound, settings = params.read("audio", audio.Audio), params.read("mels", mels.Mels)
    table = catalogue.load("data/catalogue.csv")

    def mel(path):
        spectrum = mels.melspectrogram(audio.load(path, sound), sound.sample_rate, settings)
        return spectrum.astype(np.float16)

    with threadpool_limits(1):
        spectra = threads.in_order(mel, table["path"])
        clips = progress(zip(table["clip"], spectra, strict=True), "cache_mels", "clip", len(table))
        packs.write("data/mels", (({"clip": clip}, frames) for clip, frames in clips))


if __name__ == "__main__":
    stage(main)
