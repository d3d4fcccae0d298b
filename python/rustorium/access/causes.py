"""Why a request got no answer, in words that don't depend on the HTTP library or the system's error numbers.

Invariants: SYNC.
"""

import errno
import os
import socket
import ssl

REFUSED = os.strerror(errno.ECONNREFUSED).lower()
"""The cause where a machine answers that nothing listens on the port."""


def cause_of(error: BaseException, seconds: float) -> str:
    """Returns why a request failed that had `seconds` of time: what the system said of the connection, if anything."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, socket.gaierror):
            return "its name has no address"
        if isinstance(found, TimeoutError):
            return f"no answer in {seconds:.2g} s"
        if isinstance(found, ssl.SSLError):
            # Its number is OpenSSL's and none of the system's.
            return (found.reason or str(found)).lower().replace("_", " ")
        if isinstance(found, OSError) and found.errno:
            return os.strerror(found.errno).lower()
        inner = found.exceptions[0] if isinstance(found, BaseExceptionGroup) else None
        found = inner or found.__cause__ or found.__context__
    return str(error) or type(error).__name__
