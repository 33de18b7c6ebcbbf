"""Fill a folder with a published corpus, trusting nothing but the published sha256 of each file.

The bytes come from a local copy (a folder or a zip, in any layout) or from the official address. Files are found by
their base name, which is unique within a corpus, and written where the list of checksums says. The paths inside an
archive and any other files in it are ignored.
"""

import errno
import hashlib
import os
import sys
import time
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

import requests
import urllib3
from tqdm import tqdm

from ser.core import files
from ser.core.errors import FULL, InputError
from ser.core.stage import progress

DOWNLOADS = Path("data/downloads")
CHUNK = 1 << 16  # bytes
LARGEST = 16 << 20  # bytes, well above any clip of these corpora: a larger file is not a clip but a zip bomb
TIMEOUT = (10, 60)  # seconds to connect, seconds without a byte
ATTEMPTS = 5  # in a row without progress
REFUSALS = (400, 401, 403, 404, 405, 410, 451)  # HTTP statuses that another attempt will not change
PAUSE = 1.0  # seconds before the second attempt, twice as long before each further one


@dataclass(frozen=True)
class Source:
    """A published corpus: its name, its official zip, and its checksums in the format of `sha256sum`."""

    name: str
    url: str
    checksums: Path

    def digests(self) -> dict[PurePosixPath, str]:
        """The published sha256 of each file, by its path inside the corpus."""
        lines = self.checksums.read_text(encoding="utf-8").splitlines()
        return {PurePosixPath(path): digest for digest, path in (line.split(maxsplit=1) for line in lines)}


@dataclass(frozen=True)
class Member:
    """One file of a local copy, not yet read."""

    size: int  # bytes, as declared
    open: Callable[[], IO[Any]]  # for reading bytes


def fetch(source: Source, target: Path, mirror: Path | None) -> None:
    """Fill the folder `target` with every file of the corpus, from `mirror` or else the official address.

    Raises InputError where the corpus is not available, incomplete, or different from the published one.
    """
    if mirror is not None:
        unpack(source, _find(source, mirror), target)
        return
    archive = DOWNLOADS / f"{source.name}.zip"
    if not archive.exists():
        download(source, archive)
    unpack(source, archive, target)
    archive.unlink()


def _find(source: Source, mirror: Path) -> Path:
    places = [mirror / source.name, mirror / f"{source.name}.zip"]
    for place in places:
        if place.exists():
            return place
    raise InputError(
        f"SER_MIRROR={mirror} does not hold the corpus {source.name}: "
        f"looked for {places[0]}{os.sep} and {places[1]}; "
        f"put a copy of {source.url} there, or unset SER_MIRROR to download it"
    )


def unpack(source: Source, copy: Path, target: Path) -> None:
    """Write the published files in `copy`, a folder or a zip, to `target`, and check each of them."""
    digests = source.digests()
    missing: list[str] = []
    wrong: list[str] = []

    def save(path: PurePosixPath) -> None:
        candidates = members.get(path.name, [])
        destination = target / path
        destination.parent.mkdir(parents=True, exist_ok=True)
        digest = None
        for member in candidates:
            digest = _write(member, destination)
            if digest == digests[path]:
                return
        if candidates:
            wrong.append(f"{path}: expected sha256 {digests[path]}, found {digest}")
        else:
            missing.append(str(path))

    with _members(source, copy) as members, ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in progress(pool.map(save, digests), f"{source.name}: checking", unit="file", total=len(digests)):
            pass
    faults, total = [], len(digests)
    if missing:
        faults.append(f"{len(missing)} of {total} files are missing: {_first(missing, ', ')}")
    if wrong:
        faults.append(f"{len(wrong)} of {total} files differ from the published ones:\n  {_first(wrong)}")
    if faults:
        first = f"{source.name}: {copy} is not the published corpus"
        raise InputError("\n".join([first, *faults, _remedy(source, copy)]))


def _first(items: Sequence[str], separator: str = "\n  ", most: int = 5) -> str:
    more = [f"and {len(items) - most} more"] if len(items) > most else []
    return separator.join(sorted(items)[:most] + more)


def _write(member: Member, destination: Path) -> str:
    """Copy a member in chunks; return its sha256, or why it was not read."""
    if member.size > LARGEST:
        return f"a file of {member.size:,} bytes, too large for a clip"
    digest = hashlib.sha256()
    with member.open() as file, destination.open("wb") as out:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            out.write(chunk)
    return digest.hexdigest()


@contextmanager
def _members(source: Source, copy: Path) -> Iterator[dict[str, list[Member]]]:
    """The files of a folder or a zip by base name; a name may occur more than once."""
    members: dict[str, list[Member]] = defaultdict(list)
    if copy.is_dir():
        for path in filter(Path.is_file, files.walk(copy)):
            members[path.name].append(Member(path.stat().st_size, partial(path.open, "rb")))
        yield members
        return
    try:
        # Opened here and not by ZipFile, which counts its readers without a lock and could close the file too early.
        with copy.open("rb") as file, zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                name = PurePosixPath(info.filename.replace("\\", "/")).name
                members[name].append(Member(info.file_size, partial(archive.open, info)))
            yield members
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: a seek before the start
            raise
        raise InputError(f"{copy} is damaged or incomplete ({error}); {_remedy(source, copy)}") from error


def _remedy(source: Source, copy: Path) -> str:
    if copy.parent == DOWNLOADS:
        return "delete it and run the same command again to download it afresh"
    return f"replace it with a fresh copy of {source.url}"


def download(source: Source, archive: Path) -> None:
    """Download the official zip to `archive`, resuming from the `<archive>.part` of an earlier attempt.

    The end record of the zip tells when it is complete, so a server may misstate the length or ignore ranges.
    """
    part = archive.with_name(f"{archive.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    failures, most, reason = 0, _size(part), ""
    while not _complete(part):
        if failures == ATTEMPTS:
            raise InputError(_advice(source, part, reason))
        if failures:
            pause = PAUSE * 2 ** (failures - 1)
            print(f"{source.name}: {reason}; trying again in {pause:g} s", file=sys.stderr)
            time.sleep(pause)
        reason = _attempt(source, part)
        failures = 1 if _size(part) > most else failures + 1
        most = max(most, _size(part))
    part.rename(archive)


def _attempt(source: Source, part: Path) -> str:
    """Make one request; return what went wrong if the zip is not complete after it."""
    try:
        _receive(source, part)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        if isinstance(error, requests.HTTPError) and error.response.status_code in REFUSALS:
            raise InputError(_advice(source, part, _reason(error))) from error
        return _reason(error)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise InputError(
            f"no space left on the disk for {part}; free some space and run the same command again, "
            "it goes on from what has arrived"
        ) from error
    return "the download ended early"


def _receive(source: Source, part: Path) -> None:
    """Append the missing bytes to `part`, or start again where the server cannot resume."""
    have = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(source.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        resumed = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if response.status_code == 416 or (response.status_code == 206 and not resumed):
            part.unlink(missing_ok=True)
            return
        response.raise_for_status()
        start = have if resumed else 0
        length = response.headers.get("Content-Length", "")
        bar = tqdm(
            desc=f"{source.name}: downloading",
            unit="B",
            unit_scale=True,
            initial=start,
            disable=None,
            total=start + int(length) if length.isdecimal() else None,
            dynamic_ncols=True,
        )
        # read1, unlike iter_content, returns every byte that arrived before a connection broke.
        chunk = response.raw.read1(CHUNK)
        if start == 0 and not b"PK".startswith(chunk[:2]):
            raise InputError(_advice(source, part, "the server's answer is not a zip archive"))
        with part.open("ab" if start else "wb") as file, bar:
            while chunk:
                file.write(chunk)
                bar.update(len(chunk))
                chunk = response.raw.read1(CHUNK)


def _complete(part: Path) -> bool:
    return part.exists() and zipfile.is_zipfile(part)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError):
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return "the server does not answer"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return "the connection broke off"


def _advice(source: Source, part: Path, reason: str) -> str:
    kept = f"\nwhat has arrived is kept in {part}, and the next run goes on from there" if _size(part) else ""
    return (
        f"could not download the corpus {source.name} from {source.url}: {reason}{kept}\n"
        f"without a network: get that file by other means, put it into a folder as {source.name}.zip "
        f"(or unpacked as {source.name}{os.sep}), and run again with SER_MIRROR=<that folder>; "
        "`make demo` needs no download"
    )
