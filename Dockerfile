# All packages of the project, and Ray. The clone itself is mounted: docs/scale.md.
FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git wget \
    && rm -rf /var/lib/apt/lists/*
COPY requirements.txt requirements-cluster.txt /tmp/
RUN pip install --no-cache-dir -r /tmp/requirements.txt -r /tmp/requirements-cluster.txt "ray[default]" \
    && rm /tmp/requirements*.txt
RUN useradd --create-home --uid 1000 ray
USER ray
RUN git config --global --add safe.directory "*"
WORKDIR /mnt
