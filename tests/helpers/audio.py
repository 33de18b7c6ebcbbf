"""The settings of the committed experiment, librosa's results for them, and the way from a mel to sound and back."""

import librosa
import numpy as np

from ser.audio.griffin_lim import mel_to_samples
from ser.audio.io import AudioConfig, load_audio, trim
from ser.audio.mel import MelConfig, melspectrogram

MELS = MelConfig(n_fft=1024, hop=512, n_mels=80, fmin=0.0, fmax=8000.0)
AUDIO = AudioConfig(sample_rate=22050, channel="mean", trim_db=30.0)
UNTRIMMED = AUDIO.model_copy(update={"trim_db": None})
RATE = AUDIO.sample_rate


def librosa_mel(samples, config=MELS):
    """The mel spectrogram `[n_mels, frames]` of samples in dB by librosa."""
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=RATE,
        n_fft=config.n_fft,
        hop_length=config.hop,
        n_mels=config.n_mels,
        fmin=config.fmin,
        fmax=config.fmax,
    )
    return librosa.power_to_db(power, ref=np.max, top_db=80)


def assert_trimmed_as_by_librosa(samples, decibels):
    expected, _ = librosa.effects.trim(samples, top_db=decibels)
    np.testing.assert_array_equal(trim(samples, decibels), expected)


def there_and_back(path, config=MELS):
    """A clip's mel as the mel store keeps it, its sound, and the mel of that sound."""
    mel = melspectrogram(load_audio(path, AUDIO), RATE, config).astype(np.float16)
    samples = mel_to_samples(mel, RATE, config)
    return mel.astype(np.float32), samples, melspectrogram(samples, RATE, config)
