"""A real HTTP server for tests, whose clients may hang up whenever they like."""

import sys
import threading
from contextlib import contextmanager
from http.server import ThreadingHTTPServer


class ForgivingServer(ThreadingHTTPServer):
    """Says nothing of a client that has hung up; any other error is printed, as ever."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving(server):
    """Let a server answer in a thread of its own, and close it afterwards."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
