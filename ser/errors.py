class InputError(Exception):
    """Something given from outside (a file, a key, an environment variable) cannot be used.

    The message names it, says what was expected and what to do; stages print it and exit with status 1.
    """
