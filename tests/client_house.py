"""Both clients for tests, and servers that misbehave."""

import asyncio
import json
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler

import pytest
from http_servers import ForgivingServer, serving

from univigu_client import AsyncClient, Client

JOB = b'{"id": "video_1", "status": "completed", "progress": 100, "caption": "x", "error": null}'


class Awaited:
    """An `AsyncClient` whose operations are run to their end, so that one test serves both."""

    def __init__(self, url):
        self._runner = asyncio.Runner()
        self._client = self._run(self._open, url)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._run(self._client.__aexit__)
        self._runner.close()

    def __getattr__(self, name):
        operation = getattr(self._client, name)
        if name in ("events", "jobs"):
            return lambda *given: self._run(self._collect, operation(*given))
        return lambda *given, **named: self._run(operation, *given, **named)

    def _run(self, operation, *given, **named):
        return self._runner.run(operation(*given, **named))

    async def _open(self, url):
        return await AsyncClient(url).__aenter__()

    async def _collect(self, found):
        return [one async for one in found]


@pytest.fixture(params=[Client, Awaited])
def kind_of_client(request):
    return request.param


@pytest.fixture
def client(live_url, kind_of_client):
    with kind_of_client(live_url + "/v1/") as client:
        yield client


class Scripted(BaseHTTPRequestHandler):
    """Answers each request with the next status; 0 hangs up without a word."""

    def do_GET(self):
        self.server.seen.append((self.path, self.headers.get("idempotency-key")))
        self.rfile.read(int(self.headers.get("content-length", 0)))
        status = self.server.script.pop(0)
        if status == 0:
            self.connection.close()
            return
        error = {"message": "full", "type": "x", "param": None, "code": self.server.code}
        body = JOB if status == 200 else json.dumps({"error": error}).encode()
        self.send_response(status)
        self.send_header("retry-after", "0")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


class Streaming(BaseHTTPRequestHandler):
    """Sends the rest of a log of three events, one per connection, and hangs up after each."""

    def do_GET(self):
        after = self.headers["last-event-id"]
        self.server.seen.append(after)
        self.send_response(200)
        self.end_headers()
        last = int(after) + 1
        kind = "completed" if last == 3 else "progress"
        text = f"id: {last}\nevent: {kind}\ndata: {{}}\n\nid: 99\nevent: unfinished\n"
        self.wfile.write(f": comment\n{text}".encode())

    log_message = Scripted.log_message


@pytest.fixture
def serve():
    """Start a server of a handler."""
    with ExitStack() as stack:

        def start(handler):
            server = ForgivingServer(("127.0.0.1", 0), handler)
            server.seen, server.script, server.code = [], [], "queue_full"
            return stack.enter_context(serving(server))

        yield start


@pytest.fixture
def scripted(serve, kind_of_client):
    """A server of scripted answers, and a client of it."""
    server = serve(Scripted)
    with kind_of_client(f"http://127.0.0.1:{server.server_port}") as client:
        yield server, client
