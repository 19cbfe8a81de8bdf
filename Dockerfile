# syntax=docker/dockerfile:1
#
# One image for all commands:  docker build --tag meepo2-cdc .  &&  docker run --rm meepo2-cdc --help
#
# A test runs the RUN lines below in a directory of its own, so they use nothing but python and pip.

ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY schemas ./schemas
COPY connectors ./connectors
COPY meepo2_cdc ./meepo2_cdc
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip wheel --no-deps --wheel-dir /src/dist .

FROM python:${PYTHON} AS install
WORKDIR /opt
COPY --from=wheel /src/dist /opt/dist
COPY constraints.txt ./
# Without pip in it: what is not there needs no update and cannot be used by an intruder.
RUN python -m venv --without-pip /opt/meepo2-cdc
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/meepo2-cdc/bin/python install --no-warn-script-location \
        --constraint constraints.txt "meepo2-cdc[all,otel] @ file://$(echo /opt/dist/meepo2_cdc-*.whl)"
# The bill of materials, made by a tool that is not itself in the image.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/sbom && \
    /opt/sbom/bin/python -m pip install --quiet 'cyclonedx-bom>=7,<8' && \
    /opt/sbom/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
        --output-file /opt/meepo2-cdc/sbom.cdx.json /opt/meepo2-cdc/bin/python

FROM python:${PYTHON}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="meepo2-cdc" \
      org.opencontainers.image.description="Change data capture from MySQL and MariaDB into Kafka, and its connectors" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/python"
COPY --from=install /opt/meepo2-cdc /opt/meepo2-cdc
COPY docker/healthcheck.py /opt/meepo2-cdc/healthcheck.py
# The port is served within the container only, unless MEEPO2_CAPTURE_METRICS_HOST (or RUN, or SESSION) says otherwise.
ENV PATH=/opt/meepo2-cdc/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MEEPO2_CAPTURE_METRICS_PORT=9090 \
    MEEPO2_RUN_METRICS_PORT=9090 \
    MEEPO2_SESSION_METRICS_PORT=9090
# A number, not a name: Kubernetes must be able to see that it is not root.
USER 10001:10001
WORKDIR /tmp
EXPOSE 9090
HEALTHCHECK --interval=15s --timeout=6s --start-period=60s \
    CMD ["python", "/opt/meepo2-cdc/healthcheck.py"]
ENTRYPOINT ["meepo2-cdc"]
CMD ["--help"]
