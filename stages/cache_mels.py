"""Mel spectrograms of every clip in the catalogue, packed: data/mels."""

import numpy as np
from threadpoolctl import threadpool_limits

from ser.audio.io import Audio, load_audio
from ser.audio.mel import Mels, melspectrogram
from ser.core import params, threads
from ser.core.stage import progress, stage
from ser.data import manifest, mel_store


def main():
    sound, settings = params.read("audio", Audio), params.read("mels", Mels)
    table = manifest.load("data/catalogue.csv")

    def mel(path):
        spectrum = melspectrogram(load_audio(path, sound), sound.sample_rate, settings)
        return spectrum.astype(np.float16)

    with threadpool_limits(1):
        spectra = threads.in_order(mel, table["path"])
        clips = progress(zip(table["clip"], spectra, strict=True), "cache_mels", "clip", len(table))
        mel_store.write("data/mels", (({"clip": clip}, frames) for clip, frames in clips))


if __name__ == "__main__":
    stage(main)
