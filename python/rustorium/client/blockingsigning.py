"""The blocking forms of the methods in `signing`."""

from collections.abc import Sequence

from rustorium.api import Operation
from rustorium.client.blockingconvenience import BlockingConvenience
from rustorium.client.keys import Key
from rustorium.client.signing import VALID_S
from rustorium.client.signingfile import SigningFile
from rustorium.types import AccountAuthority, Authority, Submitted, Wait


class BlockingSigning(BlockingConvenience):
    """A part of `Client`."""

    def prepare(
        self,
        operations: Sequence[Operation],
        *,
        account: str,
        authority: Authority | None = None,
        nonce: int | None = None,
        valid_s: float = VALID_S,
        largest: bool = True,
    ) -> SigningFile:
        """Makes a transaction of an account that its keys can sign one after the other."""
        return self._call(
            self._client.prepare,
            operations,
            account=account,
            authority=authority,
            nonce=nonce,
            valid_s=valid_s,
            largest=largest,
        )

    def authority(self, address: str) -> AccountAuthority:
        """Returns who acts for an account and how that can change, proven."""
        return self._call(self._client.authority, address)

    def check_file(self, file: SigningFile) -> None:
        """Checks a file's chain, authority, nonce and expiry against the newest proven state."""
        self._call(self._client.check_file, file)

    def sign_file(self, file: SigningFile, *, key: Key | None = None) -> SigningFile:
        """Returns the file with the key's signature, after `check_file`."""
        return self._call(self._client.sign_file, file, key=key)

    def send_file(self, file: SigningFile, *, wait: Wait = "final", timeout_s: float | None = None) -> Submitted:
        """Sends a file's transaction."""
        return self._call(self._client.send_file, file, wait=wait, timeout_s=timeout_s)
