# wsgw in a container: docker build -t wsgw . && docker run -v /path/to/etc-wsgw:/etc/wsgw:ro -p 5288:5288 wsgw
# The configuration in the volume is wsgw.yml or ejabberd.cfg; uid 5288 must be able to read the files that it names.
FROM python:3.14-slim AS build
WORKDIR /source
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY pyproject.toml setup.py requirements.txt requirements.lock requirements-build.lock README.md LICENSE ./
COPY wsgw wsgw
COPY deploy/health.py ./
RUN apt-get -q update \
 && apt-get -q -y --no-install-recommends install gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/wsgw \
 && /opt/wsgw/bin/pip install --require-hashes -r requirements-build.lock \
 && /opt/wsgw/bin/pip install --require-hashes --no-build-isolation -r requirements.lock \
 && /opt/wsgw/bin/pip install --no-deps --no-build-isolation . \
 && /opt/wsgw/bin/python -I -m wsgw._native.choice \
 && install -m 644 health.py /opt/wsgw

FROM python:3.14-slim
RUN groupadd --gid 5288 wsgw \
 && useradd --uid 5288 --gid wsgw --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin wsgw
COPY --from=build /opt/wsgw /opt/wsgw
ENV PATH=/opt/wsgw/bin:$PATH \
    PYTHONUNBUFFERED=1
USER wsgw
WORKDIR /
VOLUME /etc/wsgw
EXPOSE 5288
# SIGTERM drains for drain_timeout (30 s): give `docker stop` more time, with --time 45.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 CMD ["python", "/opt/wsgw/health.py"]
ENTRYPOINT ["python", "-m", "wsgw"]
