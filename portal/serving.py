"""How gunicorn serves the portal: its settings and its worker, for `gunicorn -c python:portal.serving`.

Threads are many, as a slow client may hold one for a while; how many requests are worked on at once the reception says.
A client whose request line and headers have not all come holds no thread, only a connection.
"""

from __future__ import annotations

import gc
import selectors
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker

worker_class = "portal.serving.Patient"
threads = 512
worker_connections = 2000
keepalive = 5
loglevel = "warning"
control_socket_disable = True
forwarded_allow_ips = ""  # whom to believe is PORTAL_TRUSTED_PROXIES' to say, not gunicorn's
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190

TOLD_SECONDS = 1.0
HEAD_SECONDS = 20.0
BLOCK = 1 << 16
BLOCK_SECONDS = 20.0
SEND_SECONDS = 60.0
LARGEST_HEAD = 1 << 20
END_OF_HEAD = b"\r\n\r\n"


def post_worker_init(worker: ThreadWorker) -> None:
    """What is loaded by now stays, and need not be looked through again and again."""
    gc.freeze()


class Patient(ThreadWorker):  # type: ignore[misc]
    """gunicorn's worker with threads, but that heads are collected without one, and that no body may be too slow."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.heads: dict[TConn, bytearray] = {}
        self.told_alive = 0.0

    def notify(self) -> None:
        """Its parent looks every few seconds, and not after each thing that happens."""
        if (present := time.monotonic()) - self.told_alive > TOLD_SECONDS:
            self.told_alive = present
            super().notify()

    def enqueue_req(self, conn: TConn) -> None:
        """A connection is listened to first; what was read with the request before is in a thread's hands already."""
        if _read_ahead(conn):
            super().enqueue_req(conn)
        else:
            self._listen(conn)

    def on_client_socket_readable(self, conn: TConn, client: Any) -> None:
        """The next request of a client that was kept has begun to come."""
        self.keepalived_conns.remove(conn)
        self.poller.modify(client, selectors.EVENT_READ, self._expecting(conn))
        self._on_head(conn, client)

    def _listen(self, conn: TConn) -> None:
        conn.sock.setblocking(False)
        self.poller.register(conn.sock, selectors.EVENT_READ, self._expecting(conn))

    def _expecting(self, conn: TConn) -> Callable[[Any], None]:
        conn.timeout = time.monotonic() + HEAD_SECONDS
        self.heads[conn] = bytearray()
        return partial(self._on_head, conn)

    def _on_head(self, conn: TConn, sock: Any) -> None:
        try:
            came = sock.recv(BLOCK)
        except BlockingIOError:
            return
        except OSError:
            came = b""
        head = self.heads[conn]
        head += came
        if not came:
            self._forget(conn)
        elif END_OF_HEAD in head or len(head) > LARGEST_HEAD:
            self.poller.unregister(sock)
            conn.head = bytes(self.heads.pop(conn))
            super().enqueue_req(conn)

    def _forget(self, conn: TConn) -> None:
        del self.heads[conn]
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()

    def murder_pending(self) -> None:
        """Close what has not sent a head in time, and at the end of the worker whatever has sent none."""
        super().murder_pending()
        for conn in list(self.heads):
            if not self.alive or conn.timeout < time.monotonic():
                self._forget(conn)

    def handle(self, conn: TConn) -> Any:
        first = not conn.initialized
        conn.init()
        if first:
            conn.parser.unreader = Unhurried(conn.sock)
        conn.parser.unreader.begin(vars(conn).pop("head", b""))
        conn.data_ready = True
        return super().handle(conn)


class Unhurried(SocketUnreader):  # type: ignore[misc]
    """What a client sends. It ends for us where a block of it does not come in time."""

    def begin(self, head: bytes) -> None:
        """A new request, of which this has come."""
        self.buf.seek(0, 2)
        self.buf.write(head)
        self._wait_for_next()

    def _wait_for_next(self) -> None:
        self._came, self._until = 0, time.monotonic() + BLOCK_SECONDS

    def chunk(self, size_hint: int | None = None) -> bytes:
        if self._came >= BLOCK:
            self._wait_for_next()
        left = self._until - time.monotonic()
        if left <= 0:
            return b""
        came = self._received(left, size_hint)
        self._came += len(came)
        return came

    def _received(self, seconds: float, size_hint: int | None) -> bytes:
        self.sock.settimeout(seconds)
        try:
            return bytes(super().chunk(size_hint))
        except TimeoutError:
            self._until = 0
            return b""
        finally:
            self.sock.settimeout(SEND_SECONDS)


def _read_ahead(conn: TConn) -> bool:
    """Whether some of its next request was read with the one before."""
    return conn.initialized and bool(conn.parser.unreader.buf.getvalue())
