# Two commands do everything: `make demo` runs the whole experiment on a small generated corpus, `make test` the tests.
# Each creates .venv from the pinned requirements by itself.

PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: install demo app report test lint bench stress audit sbom

install: .venv/installed

.venv/installed: requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

demo: install
	python -m scripts.experiment demo

app: install
	python -m app

report: install
	python -m app.report

test: install
	python -m pytest

lint: install
	ruff check .

bench: install
	python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	python -m benchmarks.run

stress: install
	python -m tests.stress.run

audit: .venv/audit
	.venv/audit/bin/pip-audit --strict --no-deps --disable-pip -r requirements.txt

sbom: install .venv/audit
	.venv/audit/bin/cyclonedx-py environment .venv/bin/python -o sbom.json

.venv/audit: .venv/installed tests/stress/requirements.txt
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check -r tests/stress/requirements.txt
	touch $@
