"""curl against a gateway whose certificates openssl made: versions of HTTP and of TLS, and clients' certificates."""

import json
import subprocess
from pathlib import Path

import pytest

from rustorium.net.devnet import Devnet
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.outside

NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost"


def run(*command: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert ended.returncode == code, f"{command}: {ended.returncode}: {ended.stderr}"
    return ended


class Authority:
    """A certificate authority made by openssl, with RSA keys like most."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.certificate = folder / "ca.pem"
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", 30,
            "-keyout", folder / "ca.key", "-out", self.certificate)  # fmt: skip

    def issue(self, name: str, extensions: str, *key: object) -> tuple[Path, Path]:
        """Issues a certificate and its key."""
        secret, request, certificate = (self.folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
        run("openssl", "req", "-new", *key, "-nodes", "-subj", f"/CN={name}", "-keyout", secret, "-out", request)
        text = self.folder / f"{name}.cnf"
        text.write_text(extensions)
        run("openssl", "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.folder / "ca.key",
            "-CAcreateserial", "-days", 20, "-extfile", text, "-out", certificate)  # fmt: skip
        return certificate, secret


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def with_files(net: Devnet, certificate: Path, key: Path, clients: Path | None = None) -> str:
    """Starts the node with these files; returns its URL."""
    files = {"TLS_CERTIFICATE": certificate, "TLS_KEY": key} | ({"CLIENT_AUTHORITIES": clients} if clients else {})
    net.terminate(0)
    net.spawn(0, {f"RUSTORIUM_GATEWAY__{name}": str(path) for name, path in files.items()})
    net.wait_ready()
    return net.net.nodes[0].http


def test_curl_speaks_both_versions_of_http_and_tls_1_3_alone(
    devnet_factory: DevnetFactory, authority: Authority, tmp_path: Path
) -> None:
    net = devnet_factory(nodes=1, accounts=0, tls=True)
    for number, key in enumerate((("-newkey", "rsa:2048"), ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"))):
        url = with_files(net, *authority.issue(f"gateway-{number}", NAMES, *key))
        curl = (
            "curl",
            "-sS",
            "--cacert",
            authority.certificate,
            "-o",
            tmp_path / "answer",
            "-w",
            "%{http_version} %{http_code}",
        )
        for options, version in ((["--http2"], "2"), (["--http1.1"], "1.1"), ([], "2")):
            assert run(*curl, *options, f"{url}/v1/status").stdout == f"{version} 200"
            assert json.loads((tmp_path / "answer").read_text())["ready"] is True
        run(*curl, "--tls-max", "1.2", f"{url}/livez", code=35)
        run("curl", "-sS", f"{url}/livez", code=60)
        plain = run("curl", "-sS", url.replace("https", "http") + "/livez")
        assert json.loads(plain.stdout)["code"] == "tls-needed"
        # A page of the node may post; one of another site may not.
        for origin, status in ((url, "400"), ("https://attacker.example", "403")):
            posted = run(*curl, "-X", "POST", "-H", f"Origin: {origin}", "-H", "Content-Type: application/octet-stream",
                         "--data-binary", "x", f"{url}/v1/transactions")  # fmt: skip
            assert posted.stdout == f"2 {status}"


def test_curl_shows_a_certificate_where_one_is_asked_for(
    devnet_factory: DevnetFactory, authority: Authority, tmp_path: Path
) -> None:
    net = devnet_factory(nodes=1, accounts=0, tls=True)
    certificate, key = authority.issue("gateway", NAMES, "-newkey", "rsa:2048")
    clients = Authority(tmp_path / "clients")
    url = with_files(net, certificate, key, clients.certificate)
    curl = (
        "curl",
        "-sS",
        "--cacert",
        authority.certificate,
        "-w",
        "%{http_version} %{http_code}",
        "-o",
        tmp_path / "answer",
    )
    alice, secret = clients.issue("alice", "extendedKeyUsage=clientAuth", "-newkey", "rsa:2048")
    for version in ("2", "1.1"):
        shown = ("--cert", alice, "--key", secret, f"--http{version}")
        assert run(*curl, *shown, f"{url}/livez").stdout == f"{version} 200"
    run(*curl, f"{url}/livez", code=56)
    other, its_key = authority.issue("mallory", "extendedKeyUsage=clientAuth", "-newkey", "rsa:2048")
    run(*curl, "--cert", other, "--key", its_key, f"{url}/livez", code=56)
