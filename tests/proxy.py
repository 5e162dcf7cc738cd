"""A proxy before PostgreSQL: it can lose a COMMIT, or only its answer, and cut or refuse connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

COMMIT = b"COMMIT\0"  # the last word of a message
BLOCK = 1 << 16


class CuttingProxy:
    """Forwards every connection to a server, until told otherwise. `url` leads through it; close it in the end."""

    def __init__(self, url: str) -> None:
        target = urlsplit(url)
        self._server = (target.hostname or "127.0.0.1", target.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = target._replace(netloc=f"{target.username}@127.0.0.1:{port}").geturl()
        self.lost = 0
        self._lock = threading.Lock()
        self._answers_to_lose = self._commits_to_lose = 0
        self._open, self._then_refuse = True, False
        self._links: set[_Link] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answers(self, count: int) -> None:
        """The next COMMITs are done by the server, and their connections cut before the answer comes through."""
        with self._lock:
            self._answers_to_lose = count

    def refuse_after_loss(self) -> None:
        """Once a COMMIT or its answer is lost, refuse every connection."""
        with self._lock:
            self._then_refuse = True

    def lose_commits(self, count: int) -> None:
        """The next COMMITs never reach the server; their connections are cut."""
        with self._lock:
            self._commits_to_lose = count

    def cut(self) -> None:
        """Break every connection; new ones are taken."""
        for link in list(self._links):
            link.cut()

    def refuse(self) -> None:
        """Break every connection, and each new one at once."""
        self._open = False
        self.cut()

    def allow(self) -> None:
        self._open = True

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.refuse()

    def loses_commit(self) -> bool:
        with self._lock:
            loses = self._commits_to_lose > 0
            self._commits_to_lose -= loses
            return self._counted(loses)

    def loses_answer(self) -> bool:
        with self._lock:
            loses = self._answers_to_lose > 0
            self._answers_to_lose -= loses
            return self._counted(loses)

    def _counted(self, loses: bool) -> bool:
        self.lost += loses
        if loses and self._then_refuse:
            self._open = self._then_refuse = False
        return loses

    def forget(self, link: _Link) -> None:
        self._links.discard(link)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._open:
                    self._join(client)
                else:
                    client.close()

    def _join(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._server)
        except OSError:
            client.close()
            return
        link = _Link(self, client, server)
        self._links.add(link)
        link.forward()


class _Link:
    """One client's connection and ours to the server."""

    def __init__(self, proxy: CuttingProxy, client: socket.socket, server: socket.socket) -> None:
        self.proxy, self.client, self.server = proxy, client, server
        self.deaf = False

    def forward(self) -> None:
        for way in (self._to_server, self._to_client):
            threading.Thread(target=self._until_cut, args=(way,), daemon=True).start()

    def cut(self) -> None:
        for each in (self.client, self.server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _until_cut(self, way: Callable[[], None]) -> None:
        with suppress(OSError):
            way()
        self.cut()
        self.proxy.forget(self)

    def _to_server(self) -> None:
        while block := self.client.recv(BLOCK):
            if block.endswith(COMMIT):
                if self.proxy.loses_commit():
                    return
                self.deaf = self.proxy.loses_answer()
            self.server.sendall(block)

    def _to_client(self) -> None:
        """A deaf link ends with the server's answer, so that the commit is done by then."""
        while (block := self.server.recv(BLOCK)) and not self.deaf:
            self.client.sendall(block)
