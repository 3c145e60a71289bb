# The server as a container: docker build -t wengert-server . && docker run --rm -p 8000:8000 wengert-server
#
# Runs as a numbered user without capabilities on a read-only root file system:
#   docker run --rm -p 8000:8000 --read-only --cap-drop all --security-opt no-new-privileges wengert-server
#
# Any base with Debian's package manager and CPython 3.11 or newer as /usr/local/bin/python3 will do.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

# -- dependencies: a virtual environment with exactly what the lock says; changes when the lock does
FROM ${PYTHON_IMAGE} AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# No pip in what is shipped: the one of the base image installs into it from outside.
RUN /usr/local/bin/python3 -m venv --without-pip /opt/wengert
COPY requirements/server.txt requirements/
RUN /usr/local/bin/python3 -m pip --python /opt/wengert/bin/python install --quiet --no-compile \
        --require-hashes --only-binary :all: --requirement requirements/server.txt \
    # NumPy's, SciPy's and Numba's own tests are a fifth of it all.
    && find /opt/wengert/lib/python3*/site-packages/numpy /opt/wengert/lib/python3*/site-packages/scipy \
        /opt/wengert/lib/python3*/site-packages/numba -type d -name tests -prune -exec rm -rf {} + \
    # Compiled here, since nothing can be written later. By hash, unchecked: time stamps do not survive every builder.
    && /usr/local/bin/python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/wengert/lib

# -- build: the project as a wheel, installed apart from the dependencies, so that it is a small layer of its own
FROM dependencies AS build
COPY requirements/build.txt requirements/
RUN /usr/local/bin/python3 -m venv --system-site-packages /builder \
    && /builder/bin/python -m pip install --quiet --require-hashes --only-binary :all: --requirement requirements/build.txt
COPY pyproject.toml LICENSE README.md* ./
COPY requirements/*.in requirements/
COPY engine engine
COPY service service
RUN /builder/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . \
    && /usr/local/bin/python3 -m pip --python /opt/wengert/bin/python install --quiet --no-compile --no-deps --no-index \
        --prefix /installed dist/*.whl \
    && /usr/local/bin/python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        -s /installed -p /opt/wengert /installed/lib \
    # What Numba compiles, for any processor of this family: it lies beside the sources and can only be read later.
    && cd / && PYTHONPATH=$(echo /installed/lib/python3*/site-packages) /opt/wengert/bin/python3 -m engine.tape.ahead

# -- the image
FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="wengert-server" \
      org.opencontainers.image.description="Automatic differentiation as a service" \
      org.opencontainers.image.licenses="Apache-2.0"
# Graphviz draws; it needs a font, and an index of fonts that is made now, since it cannot be written later. The index
# is valid for a folder's exact time, of which an image keeps whole seconds.
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends fontconfig fonts-dejavu-core graphviz >/dev/null \
    && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/cache/debconf/*-old \
    && find /usr/share/fonts /usr/local/share/fonts -type d -exec touch --date=2025-01-01 {} + \
    && fc-cache --force --system-only \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin wengert \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/wengert
COPY --from=dependencies /opt/wengert /opt/wengert
COPY --from=build /installed /opt/wengert

ENV PATH=/opt/wengert/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    WENGERT_HOST=0.0.0.0 \
    WENGERT_PORT=8000
USER 10001:10001
# Registered programs are kept below the working directory, the one place that is written to. Without a volume there, on
# a read-only root, they are kept in memory.
WORKDIR /var/lib/wengert
VOLUME /var/lib/wengert
EXPOSE 8000
STOPSIGNAL SIGTERM
# Asked directly, whatever proxy the environment names for the outside.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python3", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ.get('WENGERT_PORT', '8000') + '/healthz', timeout=4)"]
ENTRYPOINT ["wengert-server"]
CMD ["serve"]
