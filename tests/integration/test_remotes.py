"""Sharing over S3, SSH and HTTP, each against a real server of its protocol on this machine."""

import asyncio
import functools
import http.server
import subprocess
import threading

import pytest

from tests.helpers.project import ENVIRONMENT, call, commit

asyncssh = pytest.importorskip("asyncssh", reason="pip install 'dvc[ssh,s3]' 'moto[server]' to test remotes")
boto3 = pytest.importorskip("boto3")
moto_server = pytest.importorskip("moto.server")

GRAPH = """
stages:
  double:
    cmd: python -c "open('out.txt', 'w').write(2 * open('in.txt').read())"
    deps: [in.txt]
    outs: [out.txt]
"""
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def project(tmp_path):
    """A repository with a graph that has run."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "dvc.yaml").write_text(GRAPH)
    (folder / "in.txt").write_text("speech ")
    call("git", "init", "-q", cwd=folder)
    call("dvc", "init", "-q", cwd=folder)
    call("dvc", "repro", cwd=folder)
    return folder


@pytest.fixture
def s3():
    """The URL of a bucket, and what reaches it."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id="key", aws_secret_access_key="secret", region_name="us-east-1"
    ).create_bucket(Bucket="artifacts")
    yield "s3://artifacts/ser", {"endpointurl": endpoint}
    server.stop()


@pytest.fixture
def ssh(tmp_path):
    """The URL of a folder behind an SSH server that knows one key, and that key."""
    host_key, user_key = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    user_key.write_private_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "authorized").write_bytes(user_key.export_public_key())
    (tmp_path / "remote").mkdir()
    loop, started = asyncio.new_event_loop(), threading.Event()
    ports = []

    async def serve():
        server = await asyncssh.create_server(
            asyncssh.SSHServer,
            "127.0.0.1",
            0,
            server_host_keys=[host_key],
            sftp_factory=True,
            authorized_client_keys=str(tmp_path / "authorized"),
        )
        ports.append(server.get_port())
        started.set()

    def run():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.run_forever()

    threading.Thread(target=run, daemon=True).start()
    assert started.wait(20)
    yield f"ssh://team@127.0.0.1:{ports[0]}{tmp_path}/remote", {"keyfile": str(tmp_path / "key")}
    loop.call_soon_threadsafe(loop.stop)


@pytest.fixture
def web(tmp_path):
    """The URL of a folder behind a web server that gives and takes nothing, and the folder."""
    (tmp_path / "remote").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=tmp_path / "remote")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", tmp_path / "remote"
    server.shutdown()


def add(project, name, url, options, *flags):
    call("dvc", "remote", "add", *flags, name, url, cwd=project)
    for key, value in options.items():
        call("dvc", "remote", "modify", *(flag for flag in flags if flag == "--local"), name, key, value, cwd=project)


def clone(project):
    commit(project)
    call("git", "clone", "-q", project, project.parent / "clone", cwd=project.parent)
    return project.parent / "clone"


@pytest.mark.parametrize("protocol", ["s3", "ssh"])
def test_push_clone_pull_and_nothing_to_do(project, protocol, request):
    url, options = request.getfixturevalue(protocol)
    add(project, "team", url, options, "--default")
    call("dvc", "push", "--run-cache", cwd=project, **KEYS)
    copy = clone(project)
    call("dvc", "pull", "--run-cache", cwd=copy, **KEYS)
    assert (copy / "out.txt").read_text() == "speech speech "
    assert "up to date" in call("dvc", "repro", cwd=copy)
    (copy / "dvc.lock").unlink()  # the run cache still knows what the stage makes
    assert "is cached - skipping run" in call("dvc", "repro", cwd=copy)


def test_everyone_reads_over_http_and_a_maintainer_writes_elsewhere(project, web):
    url, folder = web
    add(project, "public", url, {}, "--default")
    call("dvc", "config", "--local", "core.remote", "write", cwd=project)
    add(project, "write", folder, {}, "--local")
    call("dvc", "push", cwd=project)
    copy = clone(project)
    assert "write" not in (copy / ".dvc" / "config").read_text()
    call("dvc", "pull", cwd=copy)
    assert "up to date" in call("dvc", "repro", cwd=copy)


def test_a_file_that_a_web_server_refuses_is_named(project, web):
    url, _ = web
    add(project, "public", url, {}, "--default")
    completed = subprocess.run(["dvc", "push"], cwd=project, env=ENVIRONMENT, capture_output=True, text=True)
    assert completed.returncode and "failed to push" in completed.stderr.lower() + completed.stdout.lower()
