"""A real HTTP server for tests, whose clients may hang up whenever they like."""

import sys
from http.server import ThreadingHTTPServer


class ForgivingServer(ThreadingHTTPServer):
    """Says nothing of a client that has hung up; any other error is printed, as ever."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
