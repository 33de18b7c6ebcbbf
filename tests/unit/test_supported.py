"""The platforms that `make install` accepts, and what it says on others."""

import re
import subprocess
import sys

import pytest

from scripts.supported import problem
from tests.helpers.project import ROOT


@pytest.mark.parametrize(
    "platform",
    [
        ((3, 11), "Linux", "x86_64", "2.28"),
        ((3, 14), "Linux", "aarch64", "2.41"),
        ((3, 12), "Darwin", "arm64", "14.0"),
        ((3, 13), "Darwin", "arm64", "26.1"),
    ],
)
def test_a_platform_with_all_wheels(platform):
    assert problem(*platform) is None


@pytest.mark.parametrize(
    ("platform", "message"),
    [
        (((3, 10), "Linux", "x86_64", "2.36"), "Python 3.10 is not supported; give one from 3.11 to 3.14"),
        (((3, 15), "Linux", "x86_64", "2.36"), "Python 3.15 is not supported"),
        (((3, 11), "Linux", "x86_64", "2.17"), "Linux 2.17 on x86_64 is not supported"),
        (((3, 11), "Linux", "x86_64", ""), "Linux on x86_64 is not supported: .* glibc 2.28"),
        (((3, 11), "Linux", "armv7l", "2.36"), "Linux 2.36 on armv7l is not supported"),
        (((3, 11), "Darwin", "x86_64", "15.1"), "Darwin 15.1 on x86_64 is not supported: .* macOS 14 on Apple silicon"),
        (((3, 11), "Darwin", "arm64", "13.6"), "Darwin 13.6 on arm64 is not supported"),
        (((3, 11), "Windows", "AMD64", ""), "Windows on AMD64 is not supported: .* WSL 2"),
    ],
)
def test_another_platform_is_refused(platform, message):
    assert re.match(message, problem(*platform))


def test_this_platform_is_supported():
    completed = subprocess.run([sys.executable, "scripts/supported.py"], cwd=ROOT, capture_output=True, text=True)
    assert (completed.returncode, completed.stderr) == (0, "")
