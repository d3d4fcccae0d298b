"""The section [signer] of a node's configuration.

Invariants: PURE; a node uses only a signer process on a Unix socket, never a token directly, because a token doesn't
remember the votes that it signed.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SignerSection:
    """[signer]: a process that holds the validator key instead of the node (`rustorium-node signer run`)."""

    url: str = ""
    """unix:/path/to/its/socket; a relative path starts at the home. Empty: the node opens validator.key itself."""
    key: str = ""
    """The validator's public key (64 hex digits), as the signer prints it."""

    def __post_init__(self) -> None:
        if self.url and re.fullmatch("unix:.*[^/]", self.url) is None:
            raise ValueError(f"url is {self.url!r}: write unix:/path/to/signer.sock; `signer run` takes a token's key")
        if self.url and re.fullmatch("[0-9a-fA-F]{64}", self.key) is None:
            raise ValueError("key needs the validator's public key of 64 hex digits, which `signer run` prints")
