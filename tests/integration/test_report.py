"""The report and the notebook, made from the smallest experiment's artifacts."""

import re

import nbformat
from nbclient import NotebookClient

from tests.helpers.project import call


def test_the_report_needs_no_other_file(project):
    printed = call("python", "-m", "app.report", cwd=project)
    assert re.search(r"report.html: [\d.]+ MB", printed)
    page = (project / "report.html").read_text()
    sources = re.findall(r"""(?:src|href)=["']([^"']{0,40})""", page)
    assert sources and all(source.startswith("data:") for source in sources)
    assert page.count("data:audio/mpeg") == 6 and page.count("data:image/png") >= 8
    for text in ("<td>baseline</td>", "<td>diffusion</td>", "true label (leaks)", "UA vs baseline", "torch 2."):
        assert text in page
    assert "n_mels: 32" in page and "in one picture" in page and "<script" not in page
    (project / "report.html").unlink()


def test_the_notebook_runs_from_end_to_end(project, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # which streamlit sets for all that this process starts
    notebook = nbformat.read(project / "notebooks/crisp_dm.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(project / "notebooks")}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 7
    assert "speakers on two sides: 0" in str(outputs)
