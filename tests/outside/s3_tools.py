"""An S3 server on loopback, and a connection to it that can be cut.

`RUSTORIUM_S3_SERVER` names the server: `versitygw` (Versity's gateway over a folder, compiled in half the time) or
`minio`.

Source of the signatures: AWS Signature Version 4.
"""

import hashlib
import hmac
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2

from process_tools import wait_for
from rustorium.net.ports import PortLeases

USER, PASSWORD, REGION = "operator", "a-long-password", "us-east-1"


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """Returns the environment variables with a client's credentials."""
        known = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return known | {
            "AWS_ACCESS_KEY_ID": USER,
            "AWS_SECRET_ACCESS_KEY": PASSWORD,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
        }

    def request(self, method: str, path: str, content: bytes = b"", query: str = "") -> httpx2.Response:
        """Sends a signed request."""
        host, now = f"127.0.0.1:{self.port}", time.gmtime()
        stamp, day = time.strftime("%Y%m%dT%H%M%SZ", now), time.strftime("%Y%m%d", now)
        digest = hashlib.sha256(content).hexdigest()
        headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
        names = ";".join(headers)
        canonical = "\n".join(
            [method, path, query, *(f"{name}:{value}" for name, value in headers.items()), "", names, digest]
        )
        scope = f"{day}/{REGION}/s3/aws4_request"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        key = f"AWS4{PASSWORD}".encode()
        for part in (day, REGION, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}"
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={USER}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        url = f"{self.url}{path}" + (f"?{query}" if query else "")
        return httpx2.request(method, url, headers=headers, content=content, trust_env=False, timeout=30)

    def sizes(self, bucket: str, prefix: str) -> dict[str, int]:
        """Returns up to a thousand objects below a prefix, and their sizes in bytes."""
        answer = self.request("GET", f"/{bucket}", query=f"list-type=2&prefix={prefix}%2F")
        assert answer.status_code == 200, answer.text
        names, sizes = (re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text) for tag in ("Key", "Size"))
        return dict(zip(names, map(int, sizes), strict=True))

    def make_bucket(self, name: str) -> None:
        answer = self.request("PUT", f"/{name}")
        assert answer.status_code == 200, answer.text


def command(folder: Path, port: int) -> list[str]:
    """Returns the command of a server that keeps its buckets in the folder."""
    buckets, attributes = folder / "buckets", folder / "attributes"
    if os.environ.get("RUSTORIUM_S3_SERVER") == "minio":
        address = ["--address", f"127.0.0.1:{port}", "--console-address", "127.0.0.1:0"]
        return ["minio", "server", "--quiet", *address, str(buckets)]
    buckets.mkdir()
    attributes.mkdir()
    line = ["versitygw", "--port", f"127.0.0.1:{port}", "--access", USER, "--secret", PASSWORD, "--region", REGION]
    # Some file systems of temporary folders have no extended attributes.
    return [*line, "posix", "--sidecar", str(attributes), str(buckets)]


@contextmanager
def s3_server(folder: Path) -> Iterator[Server]:
    """Runs an empty server."""
    leases = PortLeases()
    [port] = leases.take(1)
    server, known = Server(port), {**os.environ, "MINIO_ROOT_USER": USER, "MINIO_ROOT_PASSWORD": PASSWORD}
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(command(folder, port), env=known, stdout=log, stderr=subprocess.STDOUT)

    def up() -> bool:
        assert process.poll() is None, (folder / "server.log").read_text()
        with suppress(httpx2.HTTPError):
            return server.request("GET", "/").status_code == 200
        return False

    try:
        wait_for("the S3 server is up", up)
        yield server
    finally:
        process.terminate()
        process.wait(30)
        leases.close()


class Line:
    """A port that relays to a server until it has carried this many bytes and `after` is true; then the connection is
    cut, for good or for a moment."""

    def __init__(
        self, server: Server, bytes_max: int, *, heals: bool, after: Callable[[], bool] = lambda: True
    ) -> None:
        self._server, self._left, self._bytes_max, self._heals = server, bytes_max, bytes_max, heals
        self._after, self._dead = after, False
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cuts = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                dead = self._dead
            if dead:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._server.port))
            threading.Thread(target=self._up, args=(near, far), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(far, near), daemon=True).start()

    def _up(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := near.recv(1 << 16):
                with self._lock:
                    self._left -= len(data)
                    # All connections wait for the answer.
                    if cut := self._dead or (self._left <= 0 and self._after()):
                        self.cuts += 1
                        self._dead = not self._heals
                        if self._heals:
                            self._left = 2 * self._bytes_max
                if cut:
                    break
                far.sendall(data)
        self._end(near, far)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        self._end(source, target)

    def _end(self, *sockets: socket.socket) -> None:
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
