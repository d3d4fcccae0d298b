"""Methods that make files in which several keys sign one transaction, sign them, and send them.

Invariants: a key signs only what the chain's proven state says that it can sign for; a file is sent only with exactly
as many signatures as its authority asks for.
"""

import time
from collections.abc import Sequence

import anyio.to_thread

from rustorium import _native, arguments
from rustorium.api import Operation
from rustorium.client.base import address_of
from rustorium.client.convenience import ConvenienceMethods
from rustorium.client.keys import Key
from rustorium.client.sender import check_operations
from rustorium.client.signingfile import SigningFile
from rustorium.client.submit import MILESTONES
from rustorium.client.transactions import succeeded
from rustorium.errors import ClientError, UsageError
from rustorium.types import Account, Authority, Subject, Submitted, Wait

VALID_S = 12 * 3600.0
"""Default time until a file's transaction can't be executed any more, since its signers have to meet."""
VALID_S_MAX = 24 * 3600.0


class SigningMethods(ConvenienceMethods):
    """The client's methods about files to be signed."""

    async def prepare(
        self,
        operations: Sequence[Operation],
        *,
        account: str,
        authority: Authority | None = None,
        nonce: int | None = None,
        valid_s: float = VALID_S,
        largest: bool = True,
    ) -> SigningFile:
        """Makes a transaction of an account that its keys can sign one after the other, within `valid_s` seconds.

        `authority`: needed if the account has several keys; the state proves only its hash. `nonce`: the default is the
        account's next one by the proven state; give the following ones to further files. `largest`: it declares work
        for the largest values that it may read, so that nobody has to sign again; otherwise for values of 4 KiB.

        Errors: UsageError, also if the chain runs by version 1, which has no such transactions; GenesisNeeded, Absent,
        VerificationFailed."""
        check_operations(operations, address_of(account))
        if not 0 < arguments.seconds(valid_s, "valid_s") <= VALID_S_MAX:
            raise UsageError(f"valid_s is up to {VALID_S_MAX:.0f} seconds, and above 0, not {valid_s:g}")
        record, time_ms = await self._proven_account(account)
        self._check_version()
        if authority is None and record.public_key is None:
            raise UsageError(
                f"account {account} has several keys, and the state has only their hash: name them with authority="
            )
        if authority is None:
            authority = Authority(1, [record.public_key or ""])
        _check_authority(arguments.instance(authority, Authority, "authority"), record)
        number = record.nonce if nonce is None else arguments.whole(nonce, "nonce")
        # A clock that is behind the chain would make a file that has expired.
        expires_at_ms = max(time.time_ns() // 1_000_000, time_ms) + int(1000 * valid_s)
        return SigningFile.build(
            await self.chain(), authority, account, number, expires_at_ms, operations, largest=largest
        )

    async def check_file(self, file: SigningFile) -> None:
        """Checks a file against the newest proven state: its chain is the genesis', its authority is the account's, its
        nonce isn't used, and it hasn't expired by the chain's time.

        Errors: UsageError that says which of these is wrong; GenesisNeeded, Absent, VerificationFailed."""
        self._check_chain(arguments.instance(file, SigningFile, "file", "read one with SigningFile.read"))
        record, time_ms = await self._proven_account(file.sender)
        _check_authority(file.authority, record)
        if file.nonce < record.nonce:
            raise UsageError(
                f"the nonce {file.nonce} of account {file.sender} is used already: either this transaction was sent, "
                f"which `rustorium tx status {file.id}` says, or make another file"
            )
        if file.expires_at_ms <= time_ms:
            raise UsageError("the transaction has expired, by the chain's newest proven block: make another file")

    async def sign_file(self, file: SigningFile, *, key: Key | None = None) -> SigningFile:
        """Returns the file with the key's signature, after `check_file`. It signs whatever the operations are: show
        `file.words` to the key's owner before. A file that the key has signed already is returned unchanged.

        Errors: those of `check_file` and of `SigningFile.sign`."""
        signer = self._signer(key)
        await self.check_file(file)
        if signer.is_remote:
            return await anyio.to_thread.run_sync(file.sign, signer)
        return file.sign(signer)

    async def send_file(self, file: SigningFile, *, wait: Wait = "final", timeout_s: float | None = None) -> Submitted:
        """Sends a file's transaction. The same file can be sent again: it is executed once.

        Errors: UsageError if signatures are missing or the file is of another chain, and those of `send`."""
        arguments.instance(file, SigningFile, "file", "read one with SigningFile.read")
        arguments.one_of(wait, MILESTONES, "wait")
        if self._trusts():
            self._check_chain(file)
        [result] = await self._sender.submit([file.transaction()], wait, self._deadline(timeout_s))
        if isinstance(result, ClientError):
            raise result
        self._wrote(result.receipt)
        return succeeded(result)

    async def _proven_account(self, address: str) -> tuple[Account, int]:
        """Returns an account's record after everything that the node has executed, and the time of the block that it
        rests on. Errors: Absent."""
        subject = Subject(address_of(address))
        state = await self.proven([subject], at="current")
        found = state.items[subject]
        if not isinstance(found, Account):
            # `account` asks again. Its error is the one place that says what a missing account means.
            found = await self.account(address)
        return found, state.claim.time_ms

    def _check_version(self) -> None:
        """Checks that the newest committee that was followed makes blocks of a version that has these transactions.
        Errors: UsageError."""
        if not self._has_version_2():
            raise UsageError(
                "the chain runs by protocol version 1, in which one key signs a transaction: send it with --key, or "
                "activate version 2 first"
            )

    def _check_chain(self, file: SigningFile) -> None:
        if file.chain != self.light.chain:
            raise UsageError(
                f"the file is for chain {file.chain}, and the genesis is of chain {self.light.chain}: don't sign it "
                "here; name the net that it is for"
            )


def _check_authority(given: Authority, record: Account) -> None:
    """Errors: UsageError if it isn't the account's."""
    if record.public_key is not None:
        own = Authority(1, [record.public_key])
        same, said = given == own, str(own)
    else:
        try:
            _, digest = _native.authority_names(0, given.threshold, given.keys)
        except (ValueError, TypeError, OverflowError) as error:
            raise UsageError(f"{given} is no authority: {error}") from None
        same, said = digest == record.authority_hash, f"the one of hash {record.authority_hash}"
    if not same:
        raise UsageError(
            f"the authority of account {record.address} is {said}, at height {record.at.height}, and the transaction "
            f"says {given}: its signatures would not count, so make it again"
        )
