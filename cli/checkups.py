"""What `univigu doctor` looks at: each check says what it found and, if need be, what to do."""

from __future__ import annotations

import json
import platform
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import redis

from cli.all_in_one import ServeSettings
from cli.embedded import wheel_binary
from contract.artifacts import ArtifactStore
from contract.full_text import create_table
from worker.signing import read_signer

Status = Literal["ok", "warning", "failed"]

_LOW_DISK_BYTES = 2 * 2**30
_TOO_OLD_REDIS = 7
_WORKER_PACKAGES = ("torch", "diffusers", "transformers", "av")


@dataclass(frozen=True)
class Finding:
    """What a check has found; `advice` says what to do where not all is well."""

    check: str
    status: Status
    found: str
    advice: str | None = None


def check_python(_: ServeSettings) -> Finding:
    """Look at the interpreter and its SQLite."""
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    try:
        create_table(sqlite3.connect(":memory:"), "text")
    except sqlite3.Error:
        advice = "its SQLite has no full-text search: `univigu search` needs another build"
        return Finding("python", "failed", found, advice)
    return Finding("python", "ok", found)


def check_packages(_: ServeSettings) -> Finding:
    """Import what the model needs."""
    versions = []
    for name in _WORKER_PACKAGES:
        try:
            versions.append(f"{name} {import_module(name).__version__}")
        except ImportError as error:
            advice = "install the extra: pip install -c constraints.txt -e '.[worker,embedded]'"
            return Finding("packages", "failed", f"{name} cannot be imported: {error}", advice)
    return Finding("packages", "ok", ", ".join(versions))


def check_device(settings: ServeSettings) -> Finding:
    """Ask torch for the device that the settings name."""
    import torch

    if settings.device == "auto" and not torch.cuda.is_available():
        advice = (
            "the demo checkpoint runs on the CPU; larger ones need an NVIDIA GPU, its driver, and "
            "a CUDA build of torch"
        )
        return Finding("device", "warning", f"no GPU; torch {torch.__version__}", advice)
    device = torch.device("cuda" if settings.device == "auto" else settings.device)
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        advice = "set UNIVIGU_DEVICE to auto or cpu, or see to driver and CUDA build of torch"
        return Finding("device", "failed", f"{device}: {reason}", advice)
    if device.type != "cuda":
        return Finding("device", "ok", str(device))
    facts = torch.cuda.get_device_properties(device)
    return Finding("device", "ok", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB")


def check_redis(settings: ServeSettings) -> Finding:
    """Reach the Redis of the settings, or find the embedded one."""
    if settings.redis_url is None:
        try:
            return Finding("redis", "ok", f"embedded: {wheel_binary().name}")
        except RuntimeError as error:
            return Finding("redis", "failed", "none", str(error))
    parts = urlsplit(settings.redis_url)
    place = f"{parts.hostname}:{parts.port or 6379}"  # without the password
    try:
        with redis.Redis.from_url(settings.redis_url, socket_connect_timeout=5) as connection:
            facts = connection.info()
    except (redis.RedisError, ValueError) as error:
        advice = "start it, or see to UNIVIGU_REDIS_URL; unset, `univigu serve` brings its own"
        return Finding("redis", "failed", f"{place}: {error}", advice)
    found = f"{facts.get('server_name', 'redis')} {facts['redis_version']} at {place}"
    if int(str(facts["redis_version"]).split(".")[0]) < _TOO_OLD_REDIS:
        return Finding("redis", "failed", found, f"Redis {_TOO_OLD_REDIS} or newer is needed")
    if not facts["aof_enabled"]:
        return Finding("redis", "warning", found, "set appendonly yes, or a restart loses jobs")
    return Finding("redis", "ok", found)


def check_storage(settings: ServeSettings) -> Finding:
    """Write to the artifact store."""
    url = settings.artifacts_url
    try:
        if settings.storage_url is not None:
            ArtifactStore(url).check()
        folder = _existing(settings.data_dir)
        free = shutil.disk_usage(folder).free
        probe = folder / ".univigu-doctor"
        probe.touch()
        probe.unlink()
    except Exception as error:  # whatever a store answers that does not work
        advice = "see to UNIVIGU_STORAGE_URL, the AWS_* variables and UNIVIGU_DATA_DIR"
        return Finding("storage", "failed", f"{url}: {error}", advice)
    found = f"{url}; {free / 2**30:.1f} GiB free in {folder}"
    if free < _LOW_DISK_BYTES:
        return Finding("storage", "warning", found, "make room, or name another UNIVIGU_DATA_DIR")
    return Finding("storage", "ok", found)


def check_ffmpeg(_: ServeSettings) -> Finding:
    """Run the encoder."""
    advice = "reinstall imageio-ffmpeg, or name another build in IMAGEIO_FFMPEG_EXE"
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        binary = get_ffmpeg_exe()
        command = [binary, "-hide_banner", "-encoders"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (ImportError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        return Finding("ffmpeg", "failed", str(error), advice)
    if "libx264" not in said.stdout:
        return Finding("ffmpeg", "failed", f"{binary} has no encoder libx264", advice)
    return Finding("ffmpeg", "ok", binary)


def check_checkpoint(settings: ServeSettings) -> Finding:
    """Look for every part that the checkpoint names."""
    folder = settings.checkpoint
    advice = "see to UNIVIGU_CHECKPOINT; `univigu convert` makes a checkpoint of Wan2.1 weights"
    try:
        named = json.loads((folder / "model_index.json").read_text())
    except (OSError, ValueError) as error:
        return Finding("checkpoint", "failed", f"{folder}: {error}", advice)
    parts = [name for name, kind in named.items() if isinstance(kind, list) and kind[0]]
    missing = [name for name in parts if not (folder / name).is_dir()]
    if missing:
        return Finding("checkpoint", "failed", f"{folder} lacks {', '.join(missing)}", advice)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Finding("checkpoint", "ok", f"{folder}, {size / 2**20:.0f} MiB")


def check_signing(settings: ServeSettings) -> Finding:
    """Sign a sample, where videos are signed."""
    signer = read_signer(settings)
    if signer is None:
        return Finding("signing", "ok", "off")
    try:
        signer.check()
    except ValueError as error:
        return Finding("signing", "failed", str(error), "see Signed videos in docs/operations.md")
    return Finding("signing", "ok", f"C2PA by {signer.certificate_file}")


def check_port(settings: ServeSettings) -> Finding:
    """Listen for a moment where the server would."""
    place = f"{settings.host} port {settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            advice = "a server may be running already; else choose another --port or UNIVIGU_PORT"
            return Finding("port", "warning", f"{place}: {error.strerror}", advice)
    return Finding("port", "ok", f"{place} is free")


CHECKS: tuple[Callable[[ServeSettings], Finding], ...] = (
    check_python,
    check_packages,
    check_device,
    check_redis,
    check_storage,
    check_ffmpeg,
    check_checkpoint,
    check_signing,
    check_port,
)


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
