"""TLS of a client: the authorities it trusts, the certificate it shows, and what a failure means.

Invariants: SYNC; a node's certificate and name are always checked; if an authority is named, only it is trusted.
"""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rustorium.errors import UsageError

CA_VARIABLE = "RUSTORIUM_CA_FILE"
CERTIFICATE_VARIABLE = "RUSTORIUM_CLIENT_CERTIFICATE"
KEY_VARIABLE = "RUSTORIUM_CLIENT_KEY"

NOT_YET_VALID, EXPIRED = 9, 10
OTHER_NAME, OTHER_ADDRESS = 62, 64
"""OpenSSL's codes for faults of a certificate."""
NOT_ALLOWED = ("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN", "DECRYPT_ERROR")
"""Words of the alerts by which a node refuses a client's certificate. The last one: the signature doesn't match."""
NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")
"""OpenSSL's errors for an answer that isn't TLS."""


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files of a client."""

    ca: str | Path | None = None
    """Certificates of the authorities that nodes' certificates must come from; `None`: those that the system trusts."""
    certificate: str | Path | None = None
    """The client's own certificate, for nodes that ask for one."""
    key: str | Path | None = None
    """The certificate's private key; `None`: it is in the certificate's file."""


def named_tls(
    ca: Path | None, certificate: Path | None, key: Path | None, environment: Mapping[str, str], default_ca: str = ""
) -> Tls | None:
    """Returns the named files, or else those of the environment; `None` if there are none. `default_ca` counts if
    neither names an authority."""

    def one(named: Path | None, variable: str) -> Path | None:
        found = named or (Path(environment[variable]) if environment.get(variable) else None)
        return found.expanduser() if found is not None else None

    trusted = one(ca, CA_VARIABLE) or (Path(default_ca) if default_ca else None)
    tls = Tls(trusted, one(certificate, CERTIFICATE_VARIABLE), one(key, KEY_VARIABLE))
    return None if tls == Tls() else tls


def verifying(urls: Sequence[str], tls: Tls | None) -> ssl.SSLContext | bool:
    """Returns the `verify` argument of the HTTP client. The trusted authorities are read only if a URL needs them.

    Errors: UsageError if a file can't be used."""
    if not any(url.lower().startswith("https://") for url in urls):
        return False
    if tls is None or tls == Tls():
        return True
    if tls.key is not None and tls.certificate is None:
        raise UsageError(f"{tls.key} is a key without a certificate: name the client's certificate, too")
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(
            f"{tls.ca} has no certificates that can be read ({_said(error)}): name the PEM file of the authority that "
            "signs nodes' certificates"
        ) from None
    if tls.certificate is not None:
        _show(context, tls)
    return context


def _show(context: ssl.SSLContext, tls: Tls) -> None:
    sealed = False

    def ask() -> bytes:
        nonlocal sealed
        sealed = True
        return b""

    assert tls.certificate is not None
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=ask)
    except (ssl.SSLError, OSError) as error:
        where = tls.key or tls.certificate
        if sealed:
            raise UsageError(
                f"the client's key in {where} is sealed by a passphrase: write it without one by "
                f"`openssl pkey -in {where} -out NEW`, for yourself alone"
            ) from None
        raise UsageError(
            f"the client's certificate {tls.certificate} and key {where} can't be used ({_said(error)}): name PEM "
            "files that belong together"
        ) from None


def _said(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return str(getattr(error, "strerror", None) or error)


def refusal(url: str, error: BaseException) -> str | None:
    """Returns what is wrong and what to do, if TLS itself failed; `None` if something else failed."""
    found = next((one for one in _causes(error) if isinstance(one, ssl.SSLError)), None)
    if isinstance(found, ssl.SSLCertVerificationError):
        return f"{url} can't prove that it is that node: {_untrusted(found)}"
    words = f"{found.reason or ''} {found}".upper().replace(" ", "_") if found is not None else ""
    if "CERTIFICATE_REQUIRED" in words:
        return (
            f"{url} asks its clients for a certificate: give one that its operator takes, by tls=Tls(certificate=…), "
            f"--client-certificate or {CERTIFICATE_VARIABLE}"
        )
    if "ALERT" in words and any(word in words for word in NOT_ALLOWED):
        return f"{url} doesn't take this client's certificate: give one of an authority that its operator names"
    if any(word in words for word in NO_TLS):
        return f"{url} speaks no TLS: ask it by http://, or correct the port"
    return None


def _untrusted(error: ssl.SSLCertVerificationError) -> str:
    said = error.verify_message.rstrip(".")
    if error.verify_code in (OTHER_NAME, OTHER_ADDRESS):
        return f"its certificate is for other names ({said}): ask it by a name in its certificate"
    if error.verify_code == EXPIRED:
        return "its certificate has expired: have its operator renew it, or set this machine's clock"
    if error.verify_code == NOT_YET_VALID:
        return "its certificate isn't good yet: set this machine's clock, or ask its operator"
    return (
        f"its certificate is of an authority that isn't trusted here ({said}): if you trust it, name its certificate "
        f"by tls=Tls(ca=…), --ca or {CA_VARIABLE}"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
