"""Speech emotion recognition: `from ser import Recogniser`."""


def __getattr__(name):
    if name == "Recogniser":  # on demand: training needs no audio library
        from ser.recogniser import Recogniser

        return Recogniser
    raise AttributeError(name)
