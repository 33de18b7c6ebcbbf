"""Mel spectrograms of every clip in the catalogue: the mel store data/mels."""

import numpy as np
from threadpoolctl import threadpool_limits

from ser.audio.io import AudioConfig, load_audio
from ser.audio.mel import MelConfig, melspectrogram
from ser.core import params, threads
from ser.core.stage import progress, stage
from ser.data import manifest, mel_store


def main() -> None:
    audio_config, mel_config = params.read("audio", AudioConfig), params.read("mels", MelConfig)
    catalogue = manifest.load("data/catalogue.csv")

    def mel(path: str) -> np.ndarray:
        samples = load_audio(path, audio_config)
        return melspectrogram(samples, audio_config.sample_rate, mel_config).astype(np.float16)

    with threadpool_limits(1):
        mels = threads.in_order(mel, catalogue["path"])
        clips = progress(zip(catalogue["clip"], mels, strict=True), "cache_mels", "clip", len(catalogue))
        mel_store.write("data/mels", (({"clip": clip}, mel) for clip, mel in clips))


if __name__ == "__main__":
    stage(main)
