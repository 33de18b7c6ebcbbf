"""Which files a module runs, from its import statements."""

import ast
from pathlib import Path

import pytest

from ser.core import sources
from tests.helpers.project import ROOT


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A function that writes modules, {path: text}, into the working folder."""
    monkeypatch.chdir(tmp_path)

    def write(modules):
        for path, text in modules.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text)

    return write


def imported(*modules):
    return {path.as_posix() for path in sources.imported(*modules)}


@pytest.mark.parametrize(
    "statement",
    [
        "import ser.other",
        "import ser.other as name",
        "import torch, ser.other",
        "from ser import other",
        "from ser import (another, other as name)",
        "from ser.other import function",
        "from ser.other import *",
        "def function():\n    from ser.other import function",
        "class Class:\n    def method(self):\n        import ser.other",
        "if True:\n    import ser.other",
        "try:\n    import ser.other\nexcept ImportError:\n    pass",
    ],
)
def test_every_kind_of_import_is_followed(code, statement):
    code({"ser/module.py": statement, "ser/other.py": ""})
    assert imported("ser.module") == {"ser/module.py", "ser/other.py"}


def test_imports_are_followed_transitively_and_in_circles(code):
    code({"a.py": "import b", "b.py": "from c import x", "c.py": "import a, d", "d.py": "", "e.py": "import a"})
    assert imported("a") == {"a.py", "b.py", "c.py", "d.py"}
    assert imported("d") == {"d.py"}
    assert imported("d", "e") == {"a.py", "b.py", "c.py", "d.py", "e.py"}


def test_packages_of_others_and_names_that_are_no_modules_are_left_out(code):
    code({"ser/module.py": "import numpy.linalg\nfrom torch import nn\nfrom ser import Name\nimport ser.missing"})
    assert imported("ser.module") == {"ser/module.py"}


def test_comments_and_strings_are_not_imports(code):
    code({"a.py": "# import b\ntext = 'import b'", "b.py": ""})
    assert imported("a") == {"a.py"}


def test_a_module_that_is_not_ours_has_no_files(code):
    assert imported("numpy", "missing.module") == set()


def test_a_file_of_this_repository_is_found_wherever_it_is_imported(monkeypatch):
    monkeypatch.chdir(ROOT)
    files = imported("stages.fit")
    assert {"stages/fit.py", "ser/core/fold_jobs.py", "ser/core/rng.py", "ser/data/mel_store.py"} <= files
    assert "ser/generators/vae.py" not in files  # chosen at run time
    assert not {path for path in files if not path.startswith(("ser/", "stages/"))}


OUR_FILES = sorted(
    path.relative_to(ROOT).as_posix() for package in ("ser", "stages") for path in (ROOT / package).rglob("*.py")
)


@pytest.mark.parametrize("path", OUR_FILES)
def test_the_code_imports_in_no_way_that_is_not_followed(path):
    """Relative imports and the `__init__.py` of a package are not followed: these hold a docstring at most.

    That of `ser` imports on demand.
    """
    tree = ast.parse((ROOT / path).read_text())
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))
    statements = [
        node for node in tree.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    assert not statements or not path.endswith("/__init__.py") or path == "ser/__init__.py"
