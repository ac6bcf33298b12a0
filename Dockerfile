# Two images: `server` (HTTP and janitor, no torch) and `worker` (CUDA torch; the NVIDIA driver
# comes from the host). Run them under an init, as docker-compose.yml does (`docker run --init`):
# their processes leave children to reap.
#   docker build --target server -t univigu-server .
#   docker build --target worker -t univigu-worker .
FROM python:3.11.14-slim-bookworm AS base
# Packages with plain names: nothing in the working directory may shadow them.
ENV PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/univigu/bin:$PATH

# Requirements before code: a change of code does not install torch again.
FROM base AS server-requirements
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_CONSTRAINT=/src/constraints.txt
WORKDIR /src
COPY pyproject.toml constraints.txt ./
RUN python -m venv /opt/univigu \
    && python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
       project = p["project"]; build = p["build-system"]["requires"]; \
       extras = project["optional-dependencies"]; \
       server = [*build, *project["dependencies"], *extras["otel"]]; \
       print(*server, sep="\n", file=open("server.txt", "w")); \
       print(*extras["worker"], *extras["c2pa"], sep="\n", file=open("worker.txt", "w"))' \
    && pip install --requirement server.txt

FROM server-requirements AS server-build
COPY . .
RUN pip install --no-deps --no-build-isolation .

FROM server-requirements AS worker-build
RUN pip install --requirement worker.txt
COPY . .
RUN pip install --no-deps --no-build-isolation .

FROM base AS runtime
RUN useradd --system --uid 10001 --home-dir /data univigu \
    && install --directory --owner univigu --mode 0700 /data
ENV HOME=/data UNIVIGU_DATA_DIR=/data
WORKDIR /data
USER 10001
VOLUME /data

FROM runtime AS server
COPY --from=server-build /opt/univigu /opt/univigu
ENV UNIVIGU_HOST=0.0.0.0 UNIVIGU_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["univigu", "api"]

FROM runtime AS worker
COPY --from=worker-build /opt/univigu /opt/univigu
# Its supervisor watches slots and engine itself, and the server's /readyz tells when it is warm.
HEALTHCHECK NONE
CMD ["univigu", "worker"]
