"""A real S3-protocol server for tests: OpenStack Swift on one node, with its signature checks."""

import contextlib
import getpass
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store

from cli.tied_child import tied_command

START_SECONDS = 60
RINGS = ("account", "container", "object")

SWIFT_CONF = """\
[swift-hash]
swift_hash_path_prefix = univigu
swift_hash_path_suffix = tests
[storage-policy:0]
name = default
default = yes
"""
DEFAULT_SECTION = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {root}
devices = {root}/devices
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
workers = 0
log_level = WARNING
log_address = /dev/null
"""
STORAGE_SECTIONS = """\
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""
PROXY_FILTERS = "catch_errors gatekeeper healthcheck listing_formats bulk s3api tempauth copy slo"
PROXY_OPTIONS = {
    "s3api": "location = us-east-1\n",
    "tempauth": "user_test_tester = testing .admin\n",
}
BUILD_RINGS = """
import sys
from swift.common.ring import RingBuilder
for name, port in zip(sys.argv[2::2], map(int, sys.argv[3::2])):
    ring = RingBuilder(part_power=1, replicas=1, min_part_hours=0)
    node = {"ip": "127.0.0.1", "port": port, "replication_ip": "127.0.0.1"}
    place = {"id": 0, "region": 1, "zone": 1, "device": "d1", "weight": 1.0}
    ring.add_dev({**node, **place, "replication_port": port})
    ring.rebalance()
    ring.get_ring().save(f"{sys.argv[1]}/{name}.ring.gz")
"""


@dataclass(frozen=True)
class S3Server:
    """Where the server listens and who may use it."""

    endpoint: str
    access_key_id: str = "test:tester"
    secret_access_key: str = "testing"
    region: str = "us-east-1"

    @property
    def environment(self) -> dict[str, str]:
        """The `AWS_*` variables that lead a client here."""
        return {
            "AWS_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": self.region,
            "AWS_ALLOW_HTTP": "true",
        }

    def new_bucket(self) -> str:
        """Make an empty bucket and return its name."""
        name = f"bucket-{time.monotonic_ns()}"
        # obstore makes no buckets, but in virtual-hosted style it signs an object's PUT at the
        # endpoint's root, which is the very request that makes one.
        root = S3Store(
            "",
            endpoint=self.endpoint,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
            region=self.region,
            virtual_hosted_style_request=True,
            client_options={"allow_http": True},
        )
        signed = obstore.sign(root, "PUT", name, timedelta(minutes=1))
        with urllib.request.urlopen(urllib.request.Request(signed, method="PUT"), timeout=30):
            return name


@pytest.fixture(scope="session")
def s3_server(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    """Serve S3 for the session."""
    assert request.config.cache is not None
    # Swift needs extended attributes, which the disk of the checkout has and a tmpfs may lack.
    root = Path(tempfile.mkdtemp(dir=request.config.cache.mkdir("s3")))
    ports = dict(zip((*RINGS, "proxy"), _free_ports(4), strict=True))
    try:
        _configure(root, ports)
        with contextlib.ExitStack() as stack:
            for name in ports:
                stack.enter_context(_running(root, name))
            endpoint = f"http://127.0.0.1:{ports['proxy']}"
            _wait_until_healthy(endpoint, root)
            yield S3Server(endpoint)
    finally:
        shutil.rmtree(root)


@contextlib.contextmanager
def _running(root: Path, name: str) -> Iterator[None]:
    script = Path(sys.executable).with_name(f"swift-{name}-server")
    with (root / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            tied_command([str(script), str(root / f"{name}.conf")]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _configure(root: Path, ports: dict[str, int]) -> None:
    (root / "devices" / "d1").mkdir(parents=True)
    (root / "swift.conf").write_text(SWIFT_CONF)
    rings = [word for name in RINGS for word in (name, str(ports[name]))]
    subprocess.run([sys.executable, "-W", "ignore", "-c", BUILD_RINGS, root, *rings], check=True)
    for name, port in ports.items():
        head = DEFAULT_SECTION.format(port=port, user=getpass.getuser(), root=root)
        body = _proxy_sections() if name == "proxy" else STORAGE_SECTIONS.format(name=name)
        (root / f"{name}.conf").write_text(head + body)


def _proxy_sections() -> str:
    sections = [
        f"[pipeline:main]\npipeline = {PROXY_FILTERS} proxy-server\n",
        "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n",
    ]
    for name in PROXY_FILTERS.split():
        sections.append(f"[filter:{name}]\nuse = egg:swift#{name}\n{PROXY_OPTIONS.get(name, '')}")
    return "".join(sections)


def _wait_until_healthy(endpoint: str, root: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{endpoint}/healthcheck", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                logs = "\n".join(path.read_text() for path in root.glob("*.log"))
                raise RuntimeError(f"the S3 server did not start:\n{logs}") from None
        time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
