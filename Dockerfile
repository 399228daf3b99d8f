# syntax=docker/dockerfile:1
# One image for every process: the command chooses which (serve api, projector, relay, consumers, or runtime.prepare).

FROM python:3.13-slim AS build
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /src
# The locks first: a change of our own code does not install the dependencies again.
COPY requirements/bootstrap.txt requirements/image.txt requirements/
RUN python -m venv /opt/ccontrol \
    && python -m venv /opt/uv \
    && /opt/uv/bin/pip install --no-cache-dir --require-hashes -r requirements/bootstrap.txt \
    && /opt/uv/bin/uv pip install --python /opt/ccontrol/bin/python --no-cache --require-hashes -r requirements/image.txt
COPY pyproject.toml LICENSE ./
COPY write_model write_model
COPY read_model read_model
COPY projections projections
COPY api api
COPY integration integration
COPY runtime runtime
RUN /opt/uv/bin/uv pip install --python /opt/ccontrol/bin/python --no-cache --no-deps --no-build-isolation .

FROM python:3.13-slim
# A number, so that Kubernetes can verify that it is not root.
ARG UID=10001
RUN useradd --uid "$UID" --no-create-home --home-dir /var/lib/ccontrol --shell /usr/sbin/nologin ccontrol \
    && install -d -o "$UID" -g "$UID" -m 0700 /var/lib/ccontrol
COPY --from=build /opt/ccontrol /opt/ccontrol
ENV PATH=/opt/ccontrol/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CCONTROL_STATE=/var/lib/ccontrol \
    CCONTROL_HOST=0.0.0.0 \
    CCONTROL_PORT=8000
VOLUME /var/lib/ccontrol
WORKDIR /var/lib/ccontrol
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["ccontrol", "serve", "api"]
