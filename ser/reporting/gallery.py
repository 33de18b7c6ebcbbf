"""A few clips of every emotion from the first fold, to look at and to listen to: evenly spread, not chosen by hand."""

from ser.data import mel_store

COUNT = 3  # clips an emotion


def real(study):
    """Training clips, {emotion: COUNT mels [n_mels, frames] in dB}."""
    fold = study.folds[0]
    return {
        emotion: _some(study.pack, [clip for clip in fold.train if study.emotion[clip] == emotion])
        for emotion in study.emotions
    }


def synthetic(study, generator):
    """Clips of a generator, {emotion: COUNT mels [n_mels, frames] in dB}."""
    fold, pack = study.folds[0], mel_store.read(f"data/synthetic/{generator}")
    drawn = pack.index[(pack.index["repeat"] == fold.repeat) & (pack.index["fold"] == fold.fold)]
    return {emotion: _some(pack, list(drawn["clip"][drawn["emotion"] == emotion])) for emotion in study.emotions}


def _some(pack, clips):
    return [pack.clip(clips[place * len(clips) // COUNT]) for place in range(COUNT)]
