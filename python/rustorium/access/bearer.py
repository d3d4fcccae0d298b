"""Decides which endpoint a client shows a token to: the one that it was given for, over TLS or within this machine.

Invariants: SYNC; a token never goes to another endpoint, never in the clear over a network, and appears in no error.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from rustorium.config import is_loopback
from rustorium.errors import UsageError

PORTS = {"http": 80, "https": 443}

Tokens = str | Mapping[str, str]
"""The token of the only endpoint, or tokens by the URLs of their endpoints."""


def bearing(token: str | None) -> dict[str, str]:
    """Returns the request headers that show a token. Errors: UsageError if it is not a token."""
    if token is None:
        return {}
    if not token.isascii() or not token.isprintable() or " " in token or not token.startswith("rsk_"):
        raise UsageError(
            "this is not a token: a token is one word that begins with rsk_, as `admin token create` printed it"
        )
    return {"authorization": f"Bearer {token}"}


def check_token_url(url: str) -> None:
    """Refuses a URL that would let others on the network read a token. Errors: UsageError."""
    scheme, host, _, _ = place_of(url)
    if scheme == "http" and not is_loopback(host):
        raise UsageError(
            f"{url} would carry the token over the network in the clear: use https://, or an SSH tunnel to the node's "
            "machine and http://127.0.0.1"
        )


def tokens_by_url(urls: Sequence[str], tokens: Tokens | None) -> dict[str, str | None]:
    """Returns the token of each endpoint, `None` if it has no token. Ignores tokens of other endpoints.

    Errors: UsageError, also if one token without a URL is given for several endpoints."""
    if tokens is None:
        return dict.fromkeys(urls)
    if isinstance(tokens, str):
        if len(set(urls)) > 1:
            raise UsageError(
                f"the token names no endpoint, but there are {len(set(urls))}, and each has its own tokens: give "
                f"{{URL: token}}, or a file with a line `URL rsk_…` for each"
            )
        tokens = dict.fromkeys(urls, tokens)
    known = {place_of(url): token for url, token in tokens.items()}
    found = {url: known.get(place_of(url)) for url in urls}
    for url, token in found.items():
        if token is not None:
            bearing(token)
            check_token_url(url)
    return found


def place_of(url: str) -> tuple[str, str, int, str]:
    """Returns scheme, host, port and path of an endpoint: equal for two spellings of one URL. Errors: UsageError."""
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
        port = parts.port or PORTS[scheme]
    except (ValueError, KeyError):
        scheme, host, port = "", "", 0
    if not host or any(mark.isspace() for mark in url):
        raise UsageError(f"{url!r} is not the URL of an endpoint: give one such as http://127.0.0.1:26651")
    return scheme, host, port, urlsplit(url).path.rstrip("/")
