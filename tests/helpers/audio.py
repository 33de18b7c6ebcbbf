"""The settings of the committed experiment, librosa's results for them, and the way from a mel to sound and back."""

import struct

import librosa
import numpy as np

from ser.audio.griffin_lim import mel_to_samples
from ser.audio.io import AudioConfig, load_audio, trim
from ser.audio.mel import MelConfig, melspectrogram

MELS = MelConfig(n_fft=1024, hop=512, n_mels=80, fmin=0.0, fmax=8000.0)
AUDIO = AudioConfig(sample_rate=22050, channel="mean", trim_db=30.0, remove_mean=False)
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


def wav_bytes(samples, rate=RATE, riff=None, data=None, before=b"", after=b"", big_endian=False):
    """A wav file of 16 bits whose header states the sizes `riff` and `data`, by default the true ones.

    `before` and `after` are whole chunks around the samples.
    """
    order = ">" if big_endian else "<"
    pcm = np.round(samples * 32767).astype(f"{order}i2").tobytes()
    fmt = struct.pack(f"{order}4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    riff = 36 + len(before) + len(pcm) + len(after) if riff is None else riff
    data = len(pcm) if data is None else data
    start = (b"RIFX" if big_endian else b"RIFF") + struct.pack(f"{order}I", riff) + b"WAVE" + fmt + before
    return start + b"data" + struct.pack(f"{order}I", data) + pcm + after


def chunk(name, content):
    """A chunk of a wav file."""
    return name + struct.pack("<I", len(content)) + content


STREAMS = {  # sizes in the header of a wav file whose writer could not go back to it
    "ffmpeg": {"riff": 0xFFFFFFFF, "data": 0xFFFFFFFF},
    "ffmpeg with a list": {"riff": 0xFFFFFFFF, "data": 0xFFFFFFFF, "before": chunk(b"LIST", b"INFO" + bytes(22))},
    "sox": {"riff": 0x7FFFFFFF - 0x11 + 8, "data": 0x7FFFFFFF - 0x35},
    "signed": {"riff": 0x7FFFFFFF, "data": 0x7FFFFFFF},
    "zeros": {"riff": 0, "data": 0},
    "header alone": {"riff": 36, "data": 0},
    "big endian": {"riff": 0, "data": 0, "big_endian": True},
}
