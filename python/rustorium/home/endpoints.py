"""A node's network interfaces as others see them: URLs, TLS files, and what the network can read.

Invariants: SYNC; it interprets a configuration and changes nothing.
"""

from pathlib import Path
from typing import TypedDict

from rustorium.config import Config, is_loopback, split_address


class TlsFiles(TypedDict):
    """Paths of a gateway's PEM files, in the extension's form."""

    certificate: str
    key: str
    client_authorities: str | None


def gateway_url(config: Config) -> str:
    """Returns the URL of a node's HTTP API, by its listen address."""
    return f"{'https' if config.gateway.tls_certificate else 'http'}://{config.http.listen}"


def in_the_clear(config: Config) -> list[str]:
    """Describes interfaces that others on the network could read or use without the operator expecting it."""
    found = []
    if not config.gateway.tls_certificate and not is_loopback(split_address(config.http.listen)[0]):
        found.append(
            f"the gateway listens on {config.http.listen} without TLS, so that whoever is on the way reads and changes "
            "what clients send and get: set gateway.tls_certificate and gateway.tls_key, or listen on loopback behind "
            "a proxy that speaks TLS"
        )
    beyond = not is_loopback(split_address(config.client.listen)[0])
    if config.gateway.client_authorities and config.gateway.submit == "open" and beyond:
        found.append(
            f"gateway.client_authorities doesn't hold for the QUIC API on {config.client.listen}, where everybody may "
            'submit: set gateway.submit = "token", or client.listen to a loopback address'
        )
    return found


def tls_files(home: Path, config: Config) -> TlsFiles | None:
    """Returns absolute paths of the gateway's PEM files; `None` without TLS."""
    gateway = config.gateway
    if not gateway.tls_certificate:
        return None
    authorities = str((home / gateway.client_authorities).absolute()) if gateway.client_authorities else None
    return {
        "certificate": str((home / gateway.tls_certificate).absolute()),
        "key": str((home / gateway.tls_key).absolute()),
        "client_authorities": authorities,
    }
