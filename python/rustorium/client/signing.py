"""Methods that make files in which several keys sign one transaction, sign them, and send them.

Invariants: a key signs only what the chain's proven state says that it can sign for; a file is sent only with exactly
as many signatures as its authority asks for.
"""

import time
from collections.abc import Mapping, Sequence

import anyio.to_thread

from rustorium import _native, arguments
from rustorium.api import Operation
from rustorium.client.base import address_of
from rustorium.client.convenience import ConvenienceMethods
from rustorium.client.governance import check_parameters, seat_number, seats_in_force
from rustorium.client.keys import Key
from rustorium.client.moments import moment
from rustorium.client.sender import check_operations
from rustorium.client.settings import acting
from rustorium.client.shards import in_shard_of, of_sender
from rustorium.client.signingfile import SigningFile
from rustorium.client.submit import MILESTONES
from rustorium.client.transactions import succeeded
from rustorium.custody import AccountAuthority, AccountSettings, Authority
from rustorium.errors import ClientError, UsageError
from rustorium.types import Account, Subject, Submitted, Wait

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

        `authority`: needed if the account has several keys and the state proves only their hash. `nonce`: the default
        is the account's next one by the proven state; give the following ones to further files. `largest`: it declares
        work for the largest values that it may read, so that nobody has to sign again; otherwise for values of 4 KiB.

        Errors: UsageError, also if the chain runs by version 1, which has no such transactions; GenesisNeeded, Absent,
        VerificationFailed."""
        check_operations(operations, address_of(account))
        if not 0 < arguments.seconds(valid_s, "valid_s") <= VALID_S_MAX:
            raise UsageError(f"valid_s is up to {VALID_S_MAX:.0f} seconds, and above 0, not {valid_s:g}")
        acts, next_nonce = await self._proven_authority(account)
        self._check_version()
        if authority is None:
            authority = acts.authority
        if authority is None:
            raise UsageError(
                f"account {account} has several keys, and the state has only their hash: name them with "
                "authority=, or --authority FILE in a command"
            )
        _check_authority(arguments.instance(authority, Authority, "authority"), acts)
        number = next_nonce if nonce is None else arguments.whole(nonce, "nonce")
        # A clock that is behind the chain would make a file that has expired.
        expires_at_ms = max(time.time_ns() // 1_000_000, acts.time_ms) + int(1000 * valid_s)
        return SigningFile.build(
            await self.chain(), authority, account, number, expires_at_ms, operations, largest=largest
        )

    async def check_file(self, file: SigningFile) -> None:
        """Checks a file against the newest proven state: its chain is the genesis', its authority is the account's, its
        nonce isn't used, and it hasn't expired by the chain's time.

        Errors: UsageError that says which of these is wrong; GenesisNeeded, Absent, VerificationFailed."""
        self._check_chain(arguments.instance(file, SigningFile, "file", "read one with SigningFile.read"))
        acts, next_nonce = await self._proven_authority(file.sender)
        _check_authority(file.authority, acts)
        if file.nonce < next_nonce:
            raise UsageError(
                f"the nonce {file.nonce} of account {file.sender} is used already: either this transaction was sent, "
                f"which `rustorium tx status {file.id}` says, or make another file"
            )
        if file.expires_at_ms <= acts.time_ms:
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

    @in_shard_of("file", of_sender)
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

    async def authority(self, address: str) -> AccountAuthority:
        """Returns who acts for an account and how that can change, proven after everything that the node has executed.

        Errors: GenesisNeeded, Absent, VerificationFailed."""
        return (await self._proven_authority(address))[0]

    async def _proven_authority(self, address: str) -> tuple[AccountAuthority, int]:
        """Returns who acts for an account or an operator's seat, and its next nonce. Errors: Absent."""
        number = seat_number(address_of(address))
        if number is not None:
            return await self._proven_seat(address, number)
        subject, settings = Subject(address_of(address)), Subject(address_of(address), authority=True)
        state = await self.proven([subject], at="current")
        found = state.items[subject]
        if not isinstance(found, Account):
            # `account` asks again. Its error is the one place that says what a missing account means.
            found = await self.account(address)
        if found.custody is None:
            return acting(found, None, state.claim.time_ms), found.nonce
        state = await self.proven([subject, settings], at="current")
        record, held = state.items[subject], state.items[settings]
        assert isinstance(record, Account)
        assert held is None or isinstance(held, AccountSettings)
        return acting(record, held, state.claim.time_ms), record.nonce

    async def _proven_seat(self, address: str, number: int) -> tuple[AccountAuthority, int]:
        """Returns who acts for a seat, and its next nonce. Errors: UsageError if no operator has this seat."""
        subject = Subject(_native.system_account(), governance=True)
        state = await self.proven([subject], at="current")
        self._check_version()
        record = state.items[subject]
        assert record is None or isinstance(record, Mapping)
        parameters = (await self.parameters())["parameters"]
        check_parameters(parameters, str(self.light.trusted.get("parameters")))
        for seat in seats_in_force(record, [str(key) for key in parameters["operators"]]):
            if seat["number"] == number:
                key, digest = seat.get("public_key"), seat.get("authority_hash")
                single = None if key is None else Authority(1, [str(key)])
                height, time_ms, proven = state.at.height, state.claim.time_ms, state.at.proven
                acts = AccountAuthority(address, single, digest, 0, None, None, height, time_ms, proven=proven)
                return acts, int(seat["nonce"])
        raise UsageError(
            f"no operator has seat {number} at height {state.at.height}: `rustorium-node govern seats` shows those "
            "that govern; make the file again"
        )

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


def _check_authority(given: Authority, acts: AccountAuthority) -> None:
    """Errors: UsageError if it isn't the account's, or nobody acts for the account now."""
    if acts.frozen_until_ms is not None:
        raise UsageError(
            f"account {acts.address} is frozen until {moment(acts.frozen_until_ms)}, when its recovery takes effect: "
            "sign with its new keys then, or have its recovery account withdraw it"
        )
    if acts.authority is not None:
        same, said = given == acts.authority, str(acts.authority)
    else:
        try:
            _, digest = _native.authority_names(0, given.threshold, given.keys)
        except (ValueError, TypeError, OverflowError) as error:
            raise UsageError(f"{given} is no authority: {error}") from None
        same, said = digest == acts.authority_hash, f"the one of hash {acts.authority_hash}"
    if not same:
        raise UsageError(
            f"the authority of account {acts.address} is {said}, at height {acts.height}, and the transaction says "
            f"{given}: its signatures would not count, so make it again"
        )
