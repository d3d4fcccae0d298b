"""Clients and commands over TLS: trusted authorities, client certificates, errors, and certificates that change
meanwhile."""

import time
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio

from process_tools import cli
from rustorium import _native
from rustorium.client import AsyncClient, Client, Key, Tls
from rustorium.client.operations import put
from rustorium.errors import ClientError, TlsRefused, UsageError
from rustorium.net.devnet import Devnet
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes


@pytest.fixture
def net(devnet_factory: DevnetFactory) -> Devnet:
    return devnet_factory(nodes=1, accounts=1, tls=True)


@pytest.fixture
def key(net: Devnet) -> Key:
    return Key.open(net.net.accounts[0].key_file)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.touch(0o600)
    path.write_text(text)
    return path


def refused(url: str, tls: Tls | None, expected: type[ClientError] = TlsRefused) -> str:
    """Returns a client's error, which must come at once and not at the deadline."""
    began = time.monotonic()
    with Client(url, tls=tls, timeout_s=30) as client, pytest.raises(expected) as caught:
        client.status()
    assert time.monotonic() - began < 15
    assert "\n" not in caught.value.message
    return caught.value.message


def test_clients_and_commands_trust_the_authority_that_they_are_given(net: Devnet, key: Key, tmp_path: Path) -> None:
    url, ca = net.net.nodes[0].http, Path(net.net.ca)
    assert url.startswith("https://127.0.0.1:")
    with Client.from_net(net.path, key=key) as client:
        client.send([put(key.address, b"k", b"over TLS")])
        assert client.get(key.address, b"k") == b"over TLS"
    named = ("--node", url, "--genesis", net.net.genesis)
    assert cli("--ca", ca, "status", "check", "--node", url, "-o", "json").returncode == 0
    asked = ("query", *named, "--account", key.address, "k")
    assert "over TLS" in cli("--ca", ca, *asked).stdout
    assert cli("status", "check", "--net", net.path).returncode == 0
    said = cli(*asked, code=4).stderr
    assert "--ca or RUSTORIUM_CA_FILE" in said
    assert "[tls-refused]" in said

    other = write(tmp_path, "other.pem", _native.TlsAuthority("other").certificate)
    for tls in (None, Tls(ca=other)):
        assert "authority that isn't trusted here" in refused(url, tls)
    assert "ask it by https://" in refused(url.replace("https", "http"), None, ClientError)
    plain = net.net.nodes[0].metrics.replace("http", "https")
    assert "speaks no TLS: ask it by http://" in refused(plain, Tls(ca=ca))
    for tls, what in (
        (Tls(ca=tmp_path / "none"), "has no certificates that can be read (no such file"),
        (Tls(ca=net.net.genesis), "has no certificates that can be read"),
        (Tls(ca=ca, certificate=ca), "can't be used"),
        (Tls(key=ca), "is a key without a certificate"),
    ):
        with pytest.raises(UsageError, match=r".*: name ") as caught:
            Client(url, tls=tls)
        assert what in caught.value.message.lower()
    sealed = write(
        tmp_path, "sealed.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    with pytest.raises(UsageError, match=r"can't be used|openssl pkey"):
        Client(url, tls=Tls(ca=ca, certificate=ca, key=sealed))


def until_trusted(url: str, tls: Tls) -> None:
    """Waits until another certificate is in use; each attempt is a handshake."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with Client(url, tls=tls) as client:
                client.status()
        except TlsRefused:
            assert time.monotonic() < deadline
        else:
            return


@pytest.mark.filterwarnings("error::ResourceWarning", "error::pytest.PytestUnraisableExceptionWarning")
def test_a_new_certificate_is_used_while_events_go_on(net: Devnet, key: Key, tmp_path: Path) -> None:
    url, folder = net.net.nodes[0].http, Path(net.net.ca).parent
    authority = _native.TlsAuthority("next")
    new = Tls(ca=write(tmp_path, "next.pem", authority.certificate))

    async def main() -> None:
        async with AsyncClient.from_net(net.path, key=key) as client:
            await client.send([put(key.address, b"k", b"1")])
            events = client.subscribe_transactions(after="0.0")
            await anext(events)
            certificate, secret = authority.issue(["127.0.0.1"])
            for name, text in (("gateway.pem", certificate), ("gateway.key", secret)):
                write(folder, name, text)
            await trio.to_thread.run_sync(until_trusted, url, new)
            async with AsyncClient(url, genesis=net.net.genesis, key=key, tls=new) as later:
                await later.send([put(key.address, b"k", b"2")])
            # Open connections continue.
            with anyio.fail_after(20):
                await anext(events)
            await events.aclose()
        async with AsyncClient(url, tls=Tls(ca=net.net.ca)) as client:
            with pytest.raises(TlsRefused):
                await client.status()

    trio.run(main)


def test_only_clients_of_an_authority_are_served_where_one_is_named(net: Devnet, tmp_path: Path) -> None:
    clients, url, ca = _native.TlsAuthority("clients"), net.net.nodes[0].http, net.net.ca
    assert net.terminate(0) == 0
    authorities = write(tmp_path, "clients.pem", clients.certificate)
    net.spawn(0, {"RUSTORIUM_GATEWAY__CLIENT_AUTHORITIES": str(authorities)})
    net.wait_ready()

    def shown(authority: _native.TlsAuthority, **options: Any) -> tuple[Path, Path]:
        certificate, secret = authority.issue(["alice"], client=True, **options)
        return write(tmp_path, "alice.pem", certificate), write(tmp_path, "alice.key", secret)

    certificate, secret = shown(clients)
    with Client(url, tls=Tls(ca, certificate, secret)) as client:
        assert client.status().ready
    tls = ("--ca", ca, "--client-certificate", certificate, "--client-key", secret)
    assert cli(*tls, "status", "check", "--node", url).returncode == 0
    assert "asks its clients for a certificate: give one" in refused(url, Tls(ca))
    for authority, options in ((_native.TlsAuthority("clients"), {}), (clients, {"until": (2001, 1, 1)})):
        certificate, secret = shown(authority, **options)
        assert "doesn't take this client's certificate: give one" in refused(url, Tls(ca, certificate, secret))


def test_a_node_does_not_start_with_files_that_can_not_be_used(net: Devnet) -> None:
    net.terminate(0)
    (Path(net.net.ca).parent / "gateway.key").chmod(0o604)
    home = net.net.nodes[0].home
    said = cli("start", "--home", home, code=1).stderr
    assert "everybody on this machine may use the key in" in said
    assert "chmod o= " in said
    assert "[tls-invalid]" in said


@pytest.fixture(autouse=True)
def no_files_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUSTORIUM_CA_FILE", "RUSTORIUM_CLIENT_CERTIFICATE", "RUSTORIUM_CLIENT_KEY"):
        monkeypatch.delenv(name, raising=False)
