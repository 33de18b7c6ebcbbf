import errno
import hashlib
import http.server
import os
import random
import re
import threading
from pathlib import Path

import pytest

from ser.core import params
from ser.core.errors import InputError
from ser.corpora import archive, emodb, ravdess
from stages import download
from tests.helpers.files import contents, write_files, zip_files

NAMES = ("wav/one.wav", "wav/two.wav", "wav/three.wav")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(archive, "PAUSE", 0)
    monkeypatch.setattr(archive, "CHUNK", 1 << 12)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def clips():
    return {name: random.Random(name).randbytes(40_000) for name in NAMES}


@pytest.fixture
def source(tmp_path, clips):
    """An invented corpus of three files; nothing listens at its address."""
    listed = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in clips.items())
    (tmp_path / "tiny.sha256").write_text(listed)
    return archive.Source("tiny", "http://127.0.0.1:1/tiny.zip", tmp_path / "tiny.sha256")


# Local copies


@pytest.mark.parametrize("layout", ["{}", "{name}", "data/{}", "nested/{}"])
@pytest.mark.parametrize("zipped", [False, True])
def test_any_layout_of_a_local_copy(source, clips, layout, zipped):
    files = {layout.format(name, name=Path(name).name): data for name, data in clips.items()}
    files |= {"README.txt": b"not a clip", "wav/four.wav": b"unlisted"}
    if zipped:
        zip_files(Path("mirror/tiny.zip"), files)
    else:
        write_files(Path("mirror/tiny"), files)
    archive.fetch(source, Path("target"), Path("mirror"))
    assert contents(Path("target")) == clips


def test_files_held_twice_are_taken_once_and_the_published_copy_is_chosen(source, clips):
    edited = {f"a/{name}": b"edited" for name in clips}
    write_files(Path("mirror/tiny"), edited | {f"b/{name}": data for name, data in clips.items()})
    archive.fetch(source, Path("target"), Path("mirror"))
    assert contents(Path("target")) == clips


def test_links_in_a_local_copy_are_followed_and_loops_end(source, clips):
    write_files(Path("elsewhere"), clips)
    Path("mirror/tiny").mkdir(parents=True)
    Path("mirror/tiny/wav").symlink_to(Path("elsewhere/wav").resolve())
    Path("mirror/tiny/loop").symlink_to(Path("mirror/tiny").resolve())
    archive.fetch(source, Path("target"), Path("mirror"))
    assert contents(Path("target")) == clips


def test_a_zip_cannot_write_outside_the_target(source, clips):
    files = {f"../../{name}": data for name, data in clips.items()} | {"/out.wav": b"", "..\\out.wav": b""}
    zip_files(Path("mirror/tiny.zip"), files)
    before = set(Path().rglob("*"))
    archive.fetch(source, Path("target"), Path("mirror"))
    new = set(Path().rglob("*")) - before
    assert {path for path in new if path.is_file()} == {Path("target") / name for name in clips}


def test_a_mirror_without_the_corpus_says_what_was_looked_for(source):
    with pytest.raises(InputError) as error:
        archive.fetch(source, Path("target"), Path("mirror"))
    for part in ("SER_MIRROR=mirror", "mirror/tiny/", "mirror/tiny.zip", source.url, "unset SER_MIRROR"):
        assert part in str(error.value)


def test_an_incomplete_copy_says_what_is_missing(source, clips):
    del clips["wav/one.wav"]
    write_files(Path("mirror/tiny"), clips)
    with pytest.raises(InputError, match=r"not the published corpus\n1 of 3 files are missing: wav/one.wav"):
        archive.fetch(source, Path("target"), Path("mirror"))


def test_many_missing_files_are_counted(clips):
    with pytest.raises(InputError, match=r"535 of 535 files are missing: wav/03a01Fa\.wav, .* and 530 more"):
        emodb.fetch(Path("target"), write_files(Path("mirror"), {"emodb/README.txt": b""}))


def test_a_changed_file_is_named_with_both_checksums(source, clips):
    expected, found = (hashlib.sha256(data).hexdigest() for data in (clips["wav/two.wav"], b"edited"))
    write_files(Path("mirror/tiny"), clips | {"wav/two.wav": b"edited"})
    with pytest.raises(InputError) as error:
        archive.fetch(source, Path("target"), Path("mirror"))
    assert "1 of 3 files differ" in str(error.value)
    assert f"wav/two.wav: expected sha256 {expected}, found {found}" in str(error.value)
    assert f"replace it with a fresh copy of {source.url}" in str(error.value)


def test_a_zip_bomb_is_not_unpacked(source, clips, monkeypatch):
    monkeypatch.setattr(archive, "LARGEST", 50_000)
    zip_files(Path("mirror/tiny.zip"), clips | {"wav/one.wav": bytes(60_000)})
    with pytest.raises(InputError, match=r"one.wav: .* found a file of 60,000 bytes, too large for a clip"):
        archive.fetch(source, Path("target"), Path("mirror"))
    assert not Path("target/wav/one.wav").exists()


def test_a_truncated_zip_is_named(source, clips):
    path = zip_files(Path("mirror/tiny.zip"), clips)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"mirror/tiny.zip is damaged or incomplete \(.*\); replace it with"):
        archive.fetch(source, Path("target"), Path("mirror"))


def test_a_flipped_byte_in_a_zip_is_found(source, clips):
    path = zip_files(Path("mirror/tiny.zip"), clips)
    data = bytearray(path.read_bytes())
    data[20_000] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"tiny.zip is damaged or incomplete \(Bad CRC-32 .*'wav/one.wav'\)"):
        archive.fetch(source, Path("target"), Path("mirror"))


# The official address


class Server(http.server.ThreadingHTTPServer):
    """Serves `data` at any path, with the faults that its attributes ask for."""

    def __init__(self, data):
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.ranges, self.length, self.status = data, True, "right", 200
        self.cuts = []  # bytes of the body after which each of the first answers breaks off
        self.requested = []  # the Range header of each request

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/corpus.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        if self.path == "/corpus.zip":
            self.send_response(302)
            self.send_header("Location", "/moved.zip")
            self.end_headers()
            return
        server.requested.append(wanted)
        start = int(wanted[6:-1]) if wanted and server.ranges else 0
        if start >= len(server.data):
            self.send_error(416)
            return
        if server.status != 200:
            self.send_error(server.status)
            return
        body = server.data[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.data) - 1}/{len(server.data)}")
        if server.length is not None:
            self.send_header("Content-Length", len(body) + (1_000 if server.length == "wrong" else 0))
        self.end_headers()
        self.wfile.write(body[: server.cuts.pop(0)] if server.cuts else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(clips):
    with Server(zip_files(Path("official.zip"), clips).read_bytes()) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def online(source, server):
    return archive.Source(source.name, server.url, source.checksums)


PART = Path("data/downloads/tiny.zip.part")


def test_download(online, clips, server):
    archive.fetch(online, Path("target"), None)
    assert contents(Path("target")) == clips
    assert server.requested == [None]
    assert not list(Path("data/downloads").iterdir())


def test_short_answers_are_resumed_byte_by_byte(online, clips, server, capsys):
    server.cuts = [50_001, 20_002]
    archive.fetch(online, Path("target"), None)
    assert contents(Path("target")) == clips
    assert server.requested == [None, "bytes=50001-", "bytes=70003-"]
    assert "tiny: the connection broke off; trying again" in capsys.readouterr().err


def test_a_later_run_goes_on_where_the_last_one_stopped(online, clips, server):
    write_files(Path(), {str(PART): server.data[:90_000]})
    archive.fetch(online, Path("target"), None)
    assert contents(Path("target")) == clips
    assert server.requested == ["bytes=90000-"]


def test_a_server_without_ranges_starts_afresh(online, clips, server):
    server.ranges, server.cuts = False, [50_000]
    archive.fetch(online, Path("target"), None)
    assert contents(Path("target")) == clips
    assert server.requested == [None, "bytes=50000-"]


@pytest.mark.parametrize("length", [None, "wrong"])
@pytest.mark.parametrize("ranges", [False, True])
def test_a_missing_or_wrong_length_does_no_harm(online, clips, server, length, ranges):
    server.length, server.ranges, server.cuts = length, ranges, [50_000]
    archive.fetch(online, Path("target"), None)
    assert contents(Path("target")) == clips


def test_leftovers_longer_than_the_file_are_dropped(online, clips, server):
    write_files(Path(), {str(PART): b"PK" + bytes(len(server.data))})
    archive.fetch(online, Path("target"), None)
    assert contents(Path("target")) == clips
    assert server.requested == [f"bytes={len(server.data) + 2}-", None]


def test_a_connection_that_drops_but_makes_progress_is_no_failure(online, clips, server):
    server.cuts = [10_000] * (archive.ATTEMPTS + 3)
    archive.fetch(online, Path("target"), None)
    assert contents(Path("target")) == clips


def test_a_connection_without_progress_is_given_up_and_what_arrived_is_kept(online, server):
    server.cuts = [10_000] + [0] * 20
    with pytest.raises(InputError, match=f"the connection broke off\nwhat has arrived is kept in {PART}"):
        archive.fetch(online, Path("target"), None)
    assert PART.read_bytes() == server.data[:10_000]
    assert len(server.requested) == archive.ATTEMPTS


def test_a_silent_server_times_out(online, server, monkeypatch):
    monkeypatch.setattr(archive, "TIMEOUT", 0.05)
    monkeypatch.setattr(archive, "ATTEMPTS", 2)
    monkeypatch.setattr(Handler, "do_GET", lambda self: threading.Event().wait(0.3))
    with pytest.raises(InputError, match="the server does not answer"):
        archive.fetch(online, Path("target"), None)


def test_a_refusal_ends_at_once_and_an_overload_does_not(online, server):
    server.status = 404
    with pytest.raises(InputError, match="the server answers 404 Not Found"):
        archive.fetch(online, Path("target"), None)
    assert len(server.requested) == 1
    server.status = 503
    with pytest.raises(InputError, match="the server answers 503 Service Unavailable"):
        archive.fetch(online, Path("target"), None)
    assert len(server.requested) == 1 + archive.ATTEMPTS


def test_a_login_page_is_not_taken_for_the_corpus(online, server):
    server.data = b"<html>please log in</html>"
    with pytest.raises(InputError, match="the server's answer is not a zip archive"):
        archive.fetch(online, Path("target"), None)
    assert not PART.exists()


def test_no_network_says_what_to_fetch_and_where_to_put_it(source):
    with pytest.raises(InputError) as error:
        archive.fetch(source, Path("target"), None)
    for part in (source.url, "no connection", "tiny.zip", "SER_MIRROR=", "`make demo`"):
        assert part in str(error.value)


def test_a_full_disk_is_reported_and_what_arrived_is_kept(source, monkeypatch):
    def full(_, part):
        part.write_bytes(b"PK came")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(archive, "_receive", full)
    with pytest.raises(InputError, match=f"no space left on the disk for {PART}; free some space"):
        archive.fetch(source, Path("target"), None)
    assert PART.read_bytes() == b"PK came"


def test_a_damaged_download_says_how_to_get_a_fresh_one(online, clips):
    zip_files(Path("data/downloads/tiny.zip"), clips | {"wav/one.wav": b"edited"})
    with pytest.raises(InputError, match="delete it and run the same command again to download it afresh"):
        archive.fetch(online, Path("target"), None)


# The stage


def select(monkeypatch, selected):
    monkeypatch.setattr(params, "read", lambda key, _: {"corpora.emodb": selected}[key])


def test_a_corpus_that_is_not_selected_leaves_an_empty_folder(monkeypatch):
    select(monkeypatch, False)
    write_files(Path("data/corpora/emodb"), {"wav/old.wav": b""})
    download.main("emodb")
    assert [*Path("data/corpora").rglob("*")] == [Path("data/corpora/emodb")]


def test_a_failed_download_leaves_the_earlier_corpus(monkeypatch):
    select(monkeypatch, True)
    monkeypatch.setenv("SER_MIRROR", "nowhere")
    write_files(Path("data/corpora/emodb"), {"wav/old.wav": b"old"})
    with pytest.raises(InputError, match="SER_MIRROR=nowhere"):
        download.main("emodb")
    assert contents(Path("data/corpora")) == {"emodb/wav/old.wav": b"old"}


def test_a_disk_that_fills_while_unpacking_leaves_the_download(online, server, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(archive, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        archive.fetch(online, Path("target"), None)
    assert Path("data/downloads/tiny.zip").read_bytes() == server.data


def test_the_lists_of_checksums_are_complete():
    assert len(emodb.SOURCE.digests()) == 535
    assert len(ravdess.SOURCE.digests()) == 1440
    for corpus in (emodb, ravdess):
        assert len({path.name for path in corpus.SOURCE.digests()}) == len(corpus.SOURCE.digests())
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in corpus.SOURCE.digests().values())
