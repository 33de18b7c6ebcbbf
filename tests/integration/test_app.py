"""The app in a real browser, over the smallest experiment's artifacts."""

import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
import soundfile

from tests.helpers.audio import wav_bytes
from tests.helpers.toy_model import speak

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def address(project):
    """Where the app serves the finished project."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "app", "--port", str(port)]
    running = subprocess.Popen(command, cwd=project, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=1)
            break
        except OSError:
            assert running.poll() is None
            time.sleep(0.1)
    yield address
    os.killpg(running.pid, 15)
    running.wait()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[("light", 1280)])
def page(browser, address, request):
    theme, width = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(address)
    page.get_by_role("heading", name="Emotion in speech").wait_for()
    yield page
    context.close()


DURATION = """sound => new Promise((loaded, failed) => {
    sound.onloadedmetadata = () => loaded(sound.duration);
    sound.onerror = () => failed(sound.error.message);
    sound.load();
})"""


def upload(page, path):
    page.locator("input[type=file]").first.set_input_files(path)


def test_the_demo_is_named_as_such(page):
    assert "say nothing about people" in page.get_by_role("alert").first.inner_text()


def test_a_clip_is_recognised_enhanced_and_can_be_heard(page, tmp_path):
    upload(page, speak(tmp_path / "clip.wav", seconds=1.5))
    page.get_by_text("Recognised", exact=True).wait_for()
    page.get_by_text("Enhanced", exact=True).wait_for()
    panel = page.get_by_role("tabpanel")
    panel.get_by_test_id("stAudio").nth(1).wait_for(state="attached")
    assert re.search(r"\d+%", panel.get_by_test_id("stMetricDelta").first.inner_text())
    assert panel.get_by_test_id("stVegaLiteChart").count() == 1
    assert panel.get_by_test_id("stImage").count() == 3
    for sound in panel.get_by_test_id("stAudio").all():
        assert sound.evaluate(DURATION) > 0.2


@pytest.mark.parametrize(
    "kind, message",
    [
        ("text", "not a readable sound file"),
        ("silent", "silent, its peak is 0"),
        ("constant", "silent, a constant"),
        ("short", "lasts 20.0 ms; at least 50 ms are needed"),
        ("long", "up to 600 s and"),
        ("huge", "64.0MB or smaller"),
    ],
)
def test_a_useless_file_gets_a_friendly_message(page, tmp_path, kind, message):
    path = tmp_path / "clip.wav"
    if kind == "text":
        path.write_text("no sound")
    elif kind == "huge":
        path.write_bytes(bytes(65 << 20))
    elif kind == "short":
        speak(path, seconds=0.02)
    elif kind == "constant":
        soundfile.write(path, np.full(8000, 0.5), 16000)
    else:
        soundfile.write(path, np.zeros(8000) if kind == "silent" else np.ones(601 * 1000), 1000)
    upload(page, path)
    page.get_by_text(message).wait_for()
    assert "Traceback" not in page.content()


@pytest.mark.parametrize(
    "name", ["clip.opus", "clip.OGA", "clip.aiff", "clip.caf", "clip.mp3", "gsm.wav", "stream.wav"]
)
def test_every_format_that_predict_reads_is_taken(page, tmp_path, name):
    samples, rate = soundfile.read(speak(tmp_path / "plain.wav", rate=8000))
    path = tmp_path / name
    if name == "stream.wav":
        path.write_bytes(wav_bytes(samples, rate, riff=0xFFFFFFFF, data=0xFFFFFFFF))
    elif name == "gsm.wav":
        soundfile.write(path, samples, rate, subtype="GSM610")
    else:
        ogg = {".opus": ("OGG", "OPUS"), ".OGA": ("OGG", "VORBIS")}
        container, subtype = ogg.get(path.suffix, (path.suffix[1:].upper(), None))
        soundfile.write(path, samples, rate, format=container, subtype=subtype)
    upload(page, path)
    page.get_by_text("Recognised", exact=True).wait_for()
    page.get_by_text("Nothing above 4 kHz, as in telephone recordings").wait_for()


def test_generated_clips_are_seen_and_heard_next_to_real_ones(page):
    page.get_by_role("tab", name="Generated clips").click()
    page.get_by_role("heading", name="By diffusion").wait_for()
    panel = page.get_by_role("tabpanel")
    panel.get_by_test_id("stAudio").nth(5).wait_for(state="attached")
    assert panel.get_by_test_id("stAudio").last.evaluate(DURATION) > 0.2


def test_results_have_intervals_and_pictures(page):
    page.get_by_role("tab", name="Results").click()
    table = page.get_by_role("table").first
    table.wait_for()
    assert re.search(r"baseline\s+[\d.]+ \[[\d.]+, [\d.]+\]", table.inner_text())
    page.get_by_test_id("stExpander").filter(has_text="UA of each arm").locator("img").wait_for()


@pytest.mark.parametrize("page", [("dark", 1280), ("light", 390)], indirect=True, ids=["dark", "phone"])
def test_it_fits_the_dark_and_a_phone(page, tmp_path, request):
    upload(page, speak(tmp_path / "clip.wav"))
    page.get_by_text("Enhanced", exact=True).wait_for()
    page.get_by_role("tabpanel").get_by_test_id("stAudio").nth(1).wait_for(state="attached")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    background = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (request.node.callspec.id == "phone")


def test_it_listens_to_this_machine_alone(address):
    with pytest.raises(ConnectionRefusedError):  # 127.0.0.2 answers for what listens to every address
        socket.create_connection(("127.0.0.2", int(address.rpartition(":")[2])), timeout=2)


def ask(address, method, path, **headers):
    """The status of one request for exactly this path."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    connection.request(method, path, headers=headers)
    return connection.getresponse().status


@pytest.mark.parametrize(("origin", "status"), [(None, 101), ("http://elsewhere.example", 403)])
def test_a_page_elsewhere_cannot_open_its_socket(address, origin, status):
    handshake = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Origin": origin or address,
    }
    assert ask(address, "GET", "/_stcore/stream", **handshake) == status


def test_nor_upload_without_the_token_of_a_visit(address):
    assert ask(address, "PUT", "/_stcore/upload_file/session/file") == 403


@pytest.mark.parametrize("path", ["/../params.yaml", "/static/../../../params.yaml", "/media/..%2f..%2fparams.yaml"])
def test_no_path_leads_out_of_what_it_serves(address, path):
    assert ask(address, "GET", path) == 400


def test_the_name_of_an_upload_is_of_no_account(page, project, tmp_path):
    before = set(project.parent.rglob("*escape*"))
    content = speak(tmp_path / "clip.wav").read_bytes()
    sound = {"name": "../../escape.wav", "mimeType": "audio/wav", "buffer": content}
    page.locator("input[type=file]").first.set_input_files(sound)
    page.get_by_text("Recognised", exact=True).wait_for()
    assert set(project.parent.rglob("*escape*")) == before == set()
