"""Build the documentation site in build/site from the Markdown of the repository: `make site`."""

import shutil
import subprocess
from pathlib import Path

DOCS = Path("build/docs")
SOURCES = ("*.md", "CITATION.cff", "Dockerfile", "LICENSE", "deploy", "docs", "experiments", "params.yaml", "plots")


def main() -> None:
    """Copy what pages are and link to, in the same folders, so that links lead where they lead in the repository."""
    listed = subprocess.run(["git", "ls-files", "-z", "--", *SOURCES], capture_output=True, text=True, check=True)
    shutil.rmtree(DOCS, ignore_errors=True)
    for name in filter(None, listed.stdout.split("\0")):
        destination = DOCS / name
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(name, destination)
    subprocess.run(["mkdocs", "build", "--strict", "--quiet"], check=True)


if __name__ == "__main__":
    main()
