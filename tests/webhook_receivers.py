"""Receivers of webhooks for tests, and couriers that bring them: real HTTP, a real Redis."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from http_servers import ForgivingServer
from worker_house import until

from contract import delivery_records
from contract.deliveries import DeliveryStore
from contract.jobs import JobStore
from contract.records import Status
from contract.requests import GenerateRequest, JobResult
from worker.courier import Courier

REQUEST = GenerateRequest(
    prompt="a red ball",
    seed=1,
    height=32,
    width=32,
    num_frames=5,
    fps=8,
    num_inference_steps=2,
    guidance_scale=1.0,
)


@dataclass
class Receiver:
    """A real HTTP server that keeps what it is sent."""

    url: str = ""
    #: statuses of the next answers; 200 when there are no more
    statuses: list[int] = field(default_factory=list)
    messages: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    #: set to let answers through
    gate: threading.Event = field(default_factory=threading.Event)

    def events(self) -> list[dict]:
        return [json.loads(body) for _, body in self.messages]


@contextmanager
def serve(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver()
    receiver.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.messages.append(({k.lower(): v for k, v in self.headers.items()}, body))
            receiver.gate.wait(30)
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
            self.send_header("location", receiver.url + "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ForgivingServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield receiver
        finally:
            receiver.gate.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with serve() as made:
        yield made


@pytest.fixture
def connection(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as made:
        yield made


@pytest.fixture
def start_courier(redis_url: str) -> Iterator[Callable[..., threading.Event]]:
    """Start couriers; returns what stops one."""
    running: list[tuple[threading.Event, threading.Thread]] = []
    clients = []

    def start(allow_private: bool = True, **options: float) -> threading.Event:
        client = redis.Redis.from_url(redis_url)
        clients.append(client)
        stop = threading.Event()
        courier = Courier(client, allow_private, **options)
        thread = threading.Thread(target=courier.run, args=[stop])
        thread.start()
        running.append((stop, thread))
        return stop

    yield start
    for stop, thread in running:
        stop.set()
        thread.join()
    for client in clients:
        client.close()


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> tuple[float, ...]:
    """Shorten the waits between tries; there are as many as before."""
    short = (0.01,) * len(delivery_records.BACKOFF_SECONDS)
    monkeypatch.setattr(delivery_records, "BACKOFF_SECONDS", short)
    return short


def end_job(connection: redis.Redis, job_id: str, status: Status, **fields: str) -> None:
    jobs = JobStore(connection)
    with connection.pipeline() as pipeline:
        jobs.create(job_id, REQUEST, pipeline, **fields)
        pipeline.execute()
    attempt = jobs.claim(job_id, "test")
    result = JobResult(seed=1) if status is Status.COMPLETED else None
    assert jobs.finish(job_id, attempt, status, result=result)


def ended(store: DeliveryStore, account: str = "") -> list[delivery_records.Delivery]:
    """Return the deliveries once none is pending."""

    def all_over():
        found = store.page(account, 100)
        return found if found and all(each.status != "pending" for each in found) else None

    return until(all_over)


def answer_names(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> list[str]:
    """Answer for the first question after each name; returns the names that were asked for."""
    asked: list[str] = []

    def resolve(host: str, *rest: object, **named: object) -> list:
        if host not in names:
            return ask(host, *rest, **named)
        addresses = names[host] if host not in asked else ["127.0.0.2"]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in addresses]

    ask = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def self_signed(folder: Path, name: str) -> Path:
    """Write a certificate for a name, with its key, into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "certificate.pem"
    path.write_bytes(certificate.public_bytes(pem) + secret)
    return path
