"""Refuse, before anything is installed, a platform for which requirements.txt has no wheels.

`make install` runs this file with the Python that it was given, so it needs nothing beyond the standard library.
"""

from __future__ import annotations  # read by older Pythons too, to refuse them

import platform
import sys

GLIBC = (2, 28)
MACOS = 14


def problem(python: tuple[int, ...], system: str, machine: str, release: str) -> str | None:
    """Return what is wrong with a platform and what to do; None where every wheel can be installed.

    `release` is the version of macOS, or that of glibc on Linux; empty with another C library.
    """
    if not (3, 11) <= python[:2] <= (3, 14):
        return f"Python {python[0]}.{python[1]} is not supported; give one from 3.11 to 3.14: `make PYTHON=python3.12`"
    version = tuple(int(part) for part in release.split(".") if part.isdigit())
    if system == "Darwin" and machine == "arm64" and version >= (MACOS,):
        return None
    if system == "Linux" and machine in ("x86_64", "aarch64") and version >= GLIBC:
        return None
    return (
        f"{' '.join(filter(None, [system, release]))} on {machine} is not supported: the pinned PyTorch needs Linux on "
        f"x86_64 or aarch64 with glibc {GLIBC[0]}.{GLIBC[1]} (on Windows: WSL 2), or macOS {MACOS} on Apple silicon; "
        "see .devcontainer/"
    )


if __name__ == "__main__":
    system = platform.system()
    release = platform.mac_ver()[0] if system == "Darwin" else platform.libc_ver()[1]
    if message := problem(sys.version_info[:2], system, platform.machine(), release):
        sys.exit(f"error: {message}")
