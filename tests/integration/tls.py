"""TLS in front of servers that have none: certificates of an authority made for the test, and a proxy that ends TLS."""

import contextlib
import selectors
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
"""How a client of Postgres asks for TLS."""
_PIECE_BYTES = 65_536


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """Files: an authority's certificate, and a server's that it signed."""

    authority: Path
    certificate: Path
    key: Path


def certificates(folder: Path, *, name: str = "localhost") -> Certificates:
    """Make an authority and a certificate for a server of this name."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificates, is not installed")
    folder.mkdir(exist_ok=True)
    made = Certificates(authority=folder / "ca.pem", certificate=folder / "server.pem", key=folder / "server.key")
    names = folder / "names"
    names.write_text(f"subjectAltName=DNS:{name}\n", encoding="utf-8")
    new = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
    _openssl(folder, "req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test authority")
    _openssl(
        folder, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "r", "-subj", f"/CN={name}"
    )
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    _openssl(folder, "x509", "-req", "-in", "r", *signed, "-out", "server.pem")
    return made


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@contextlib.contextmanager
def tls_before(port: int, server: Certificates, *, postgres: bool = False) -> Iterator[int]:
    """Yield a port where TLS ends and everything is passed on to the server at `port`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_accept, args=(listening, context, port, postgres), daemon=True)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _accept(listening: socket.socket, context: ssl.SSLContext, port: int, postgres: bool) -> None:  # noqa: FBT001 — a thread's arguments
    while True:
        try:
            plain, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_pass_on, args=(plain, context, port, postgres), daemon=True).start()


def _pass_on(plain: socket.socket, context: ssl.SSLContext, port: int, postgres: bool) -> None:  # noqa: FBT001 — a thread's arguments
    with contextlib.suppress(OSError), plain:
        if postgres:
            if plain.recv(len(_SSL_REQUEST), socket.MSG_WAITALL) != _SSL_REQUEST:
                return
            plain.sendall(b"S")
        with context.wrap_socket(plain, server_side=True) as inner, socket.create_connection(("127.0.0.1", port)) as to:
            inner.setblocking(False)  # noqa: FBT003 — the socket's own
            to.setblocking(False)  # noqa: FBT003
            _pump(inner, to)


def _pump(inner: ssl.SSLSocket, to: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""
    with selectors.DefaultSelector() as ready:
        ready.register(inner, selectors.EVENT_READ, to)
        ready.register(to, selectors.EVENT_READ, inner)
        while True:
            for key, _ in ready.select():
                source, target = key.fileobj, key.data
                while True:
                    try:
                        piece = source.recv(_PIECE_BYTES)  # type: ignore[union-attr]
                    except (ssl.SSLWantReadError, BlockingIOError):
                        break
                    if not piece:
                        return
                    target.setblocking(True)  # noqa: FBT003
                    target.sendall(piece)
                    target.setblocking(False)  # noqa: FBT003
