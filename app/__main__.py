"""`python -m app [REVISION]`: the app, on this machine alone; of the workspace, or of an experiment or a commit."""

import argparse
import os
import sys
from pathlib import Path

from app import artifacts
from ser.core.stage import stage

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "server.address": "127.0.0.1",
    "server.headless": "true",
    "server.maxUploadSize": "20",  # MB
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
}


def main():
    parser = argparse.ArgumentParser("python -m app", description=__doc__)
    parser.add_argument("revision", nargs="?", help="an experiment or a commit; without one the workspace, or the demo")
    parser.add_argument("--port", type=int, default=8501)
    chosen = parser.parse_args()
    os.chdir(ROOT)
    place = artifacts.folder(chosen.revision)
    settings = {**SETTINGS, "server.port": str(chosen.port)}
    options = [f"--{key}={value}" for key, value in settings.items()]
    print(f"http://{SETTINGS['server.address']}:{chosen.port}", flush=True)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app/page.py"), *options]
    os.chdir(place)
    os.execve(sys.executable, command, environment)


if __name__ == "__main__":
    stage(main)
