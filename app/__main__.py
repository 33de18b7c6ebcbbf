"""`python -m app [REVISION]`: the app, for this machine alone, with the results of the workspace or of a revision."""

import argparse
import os
import sys
from pathlib import Path

from app import artifacts
from ser.core.stage import stage

ROOT = Path(__file__).parents[1]
STREAMLIT_OPTIONS = {
    "server.address": "127.0.0.1",
    "server.headless": "true",
    "server.maxUploadSize": "64",  # MB
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
}


def main() -> None:
    parser = argparse.ArgumentParser("python -m app", description=__doc__)
    parser.add_argument(
        "revision",
        nargs="?",
        help="an experiment, such as `demo`, or a commit; default: the workspace",
    )
    parser.add_argument("--port", type=int, default=8501)
    arguments = parser.parse_args()
    os.chdir(ROOT)
    folder = artifacts.folder(arguments.revision)
    streamlit_options = {**STREAMLIT_OPTIONS, "server.port": str(arguments.port)}
    options = [f"--{key}={value}" for key, value in streamlit_options.items()]
    print(f"http://{STREAMLIT_OPTIONS['server.address']}:{arguments.port}", flush=True)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app/page.py"), *options]
    os.chdir(folder)
    os.execve(sys.executable, command, environment)


if __name__ == "__main__":
    stage(main)
