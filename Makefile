# `make demo` runs the whole experiment on a small generated corpus, `make test` runs all tests, `make test-fast` the unit tests.
# Every target creates .venv from the pinned requirements by itself.

PYTHON ?= python3
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: install cluster encoder demo app report site test test-fast lint bench stress audit sbom

install: .venv/installed .venv/package

.venv/installed: requirements.txt
	$(PYTHON) scripts/supported.py
	$(PYTHON) -m venv .venv
	$(PIP) -r requirements.txt
	touch $@

# The command `ser`. Built with the pinned setuptools, so that nothing else is fetched.
.venv/package: .venv/installed pyproject.toml
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

# `ser cluster` needs Ray.
cluster: install .venv/cluster

.venv/cluster: requirements-cluster.txt | .venv/installed
	$(PIP) -r requirements.txt -r requirements-cluster.txt
	touch $@

# `python -m scripts.speech_encoder` needs transformers. Tests do without, because diffusers imports it where it is installed.
encoder: install .venv/encoder

.venv/encoder: requirements-encoder.txt | .venv/installed
	$(PIP) -r requirements.txt -r requirements-encoder.txt
	touch $@

demo: install
	python -m scripts.experiment demo

app: install
	python -m app

report: install
	python -m app.report

site: install
	python -m scripts.site

# The fast part first; pytest says how long each part took.
test: test-fast cluster
	python -m pytest tests/integration tests/stress

test-fast: install
	python -m pytest tests/unit

lint: install
	ruff check .
	ruff format --check .
	mypy
	codespell
	python -m scripts.site

bench: install cluster
	$(PIP) -r benchmarks/requirements.txt
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
