"""The live view in a browser: one page on loopback, told of changes by server-sent events.

Loopback is every user's of this machine, and every web site's that a browser on it shows. So
whatever tells of the run, and the button that stops it, needs a token that is only in the address
printed at the start, and a request must name this machine and come from no other page.
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import unquote

from htinvert.campaign.loop import ask_to_stop
from htinvert.core import UserError
from htinvert.watch.state import State

LOOPBACK = "127.0.0.1"
MOST = 32  # connections at once
IDLE = 10.0  # s after which a connection that neither asks nor takes what it asked for is closed
HEARTBEAT = 15.0  # s after which a silent viewer is told that we are there
POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class Viewers(ThreadingHTTPServer):
    """Serves one run to a few viewers."""

    daemon_threads = True
    request_queue_size = MOST

    def __init__(self, state: State, port: int) -> None:
        self.state = state
        self.token = secrets.token_urlsafe(16)
        self._free = threading.BoundedSemaphore(MOST)
        self.changed = threading.Condition()
        self.closing = False
        try:
            super().__init__((LOOPBACK, port), _Page)
        except OSError as error:
            raise UserError(
                f"port {port} of this machine cannot be had ({error.strerror}); give another one "
                "with --port, or 0 for any"
            ) from error

    @property
    def address(self) -> str:
        """Where the page is, the token for the stop button included."""
        return f"http://{LOOPBACK}:{self.server_port}/#{self.token}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, or not at all where there are too many already."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one connection until it ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def tell(self) -> None:
        """Let every viewer know that there is something new."""
        with self.changed:
            self.changed.notify_all()


@contextmanager
def serving(state: State, port: int) -> Iterator[Viewers]:
    """Serve in the background until the end of the block."""
    server = Viewers(state, port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing = True
        server.tell()
        server.shutdown()
        server.server_close()


class _Page(BaseHTTPRequestHandler):
    """Answers one viewer."""

    server: Viewers
    timeout = IDLE
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        state = self.server.state
        if not self._named_us():
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"this view is for this machine only")
        elif path == "/":  # says nothing of the run
            page = files("htinvert.watch").joinpath("page.html").read_bytes()
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", page)
        elif not self._is_token(query.partition("&")[0]):
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"the token is missing or wrong")
        elif path == "/events":
            self._events()
        elif unquote(path.removeprefix("/")) in state.pictures:
            self._answer(HTTPStatus.OK, *state.pictures[unquote(path.removeprefix("/"))])
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"there is nothing here")

    def do_POST(self) -> None:
        if not self._named_us() or not self._is_token(self.headers.get("X-Token", "")):
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"the token is missing or wrong")
        elif self.path != "/stop":
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"there is nothing here")
        else:
            ask_to_stop(self.server.state.folder)
            self._answer(
                HTTPStatus.OK,
                "text/plain",
                b"asked to stop; it ends in a second",
            )

    def _events(self) -> None:
        """Send the facts now and whenever they change, until the viewer goes."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        sent = -1
        server = self.server
        try:
            while not server.closing:
                if server.state.version != sent:
                    sent = server.state.version
                    facts = json.dumps({"version": sent, **server.state.facts})
                    self.wfile.write(f"data: {facts}\n\n".encode())
                else:
                    self.wfile.write(b": still here\n\n")
                self.wfile.flush()
                with server.changed:
                    server.changed.wait_for(self._is_new(sent), HEARTBEAT)
        except OSError:
            pass  # the viewer has gone
        self.close_connection = True

    def _is_new(self, sent: int) -> Callable[[], bool]:
        return lambda: self.server.closing or self.server.state.version != sent

    def _named_us(self) -> bool:
        """Whether it is us that the request is for, and none but our own page that asks."""
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin", f"http://{host}")
        return host.rpartition(":")[0] in (LOOPBACK, "localhost") and origin == f"http://{host}"

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.server.token.encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on the terminal."""
