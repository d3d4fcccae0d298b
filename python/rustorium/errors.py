"""The package's errors: each says in one sentence what is wrong and what to do next, and carries a stable code.

Invariants: PURE; `code` never changes once published; `exit_code` is the CLI's; `str(error)` is the sentence.
"""

from collections.abc import Mapping
from typing import ClassVar, Self


class RustoriumError(Exception):
    """Any error that this package raises on purpose."""

    code: str = "failed"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code

    @property
    def message(self) -> str:
        """The error's sentence."""
        return str(self.args[0])


# ---- this machine: configuration, homes, keys, processes ------------------------------------------------------------


class ConfigError(RustoriumError):
    """`config.toml`, an environment variable or a flag is not understood."""

    code = "config-invalid"
    exit_code = 2


class UsageError(RustoriumError):
    """The arguments don't fit together."""

    code = "usage"
    exit_code = 2


class FileExists(UsageError):
    """A file to be written exists already. Nothing is overwritten."""

    code = "file-exists"

    def __init__(self, path: object) -> None:
        super().__init__(f"{path} exists and is never overwritten: move it away, or name another file")


class HomeError(RustoriumError):
    """A node's home can't be made or used as it is."""

    code = "home-invalid"


class HomeMissing(HomeError):
    """There is no home at that path, or a file is missing in it."""

    code = "home-missing"
    exit_code = 3


class KeyFileError(RustoriumError):
    """A key file can't be opened: missing, wrong passphrase, corrupt."""

    code = "key-invalid"


class KeyFileMissing(KeyFileError):
    """There is no such key file."""

    code = "key-missing"
    exit_code = 3


class NodeError(RustoriumError):
    """A node can't start or go on; `code` says why: port-in-use, home-locked, disk-full, …"""

    code = "node-failed"


class AccessRefused(RustoriumError):
    """The admin plane refuses this call to this caller; `code` says why: token-missing, token-unknown, token-expired,
    role-too-low, not-the-owner, tokens-invalid, tokens-exposed."""

    code = "access-refused"


class TooManyCalls(AccessRefused):
    """A caller sent too many calls; try again after `retry_after_ms`."""

    code = "too-many-calls"
    exit_code = 5

    def __init__(self, message: str, *, retry_after_ms: int) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class NotReady(RustoriumError):
    """The node or net runs, but it isn't synced or sees no quorum yet."""

    code = "not-ready"
    exit_code = 5


class DevnetError(RustoriumError):
    """A devnet could not be made or started."""

    code = "devnet-failed"


class InputLogError(RustoriumError):
    """A log of core inputs is corrupt, of another version, or gives other effects on replay than it recorded."""

    code = "input-log-invalid"
    exit_code = 4


# ---- talking to nodes -----------------------------------------------------------------------------------------------


class ClientError(RustoriumError):
    """A request got no usable answer; `details` are the fields of the node's problem document, if there was one."""

    code = "request-failed"

    endpoint: str = ""
    """URL of the endpoint whose answer this is about; empty if it is about none, or about several."""

    def __init__(self, message: str, *, code: str | None = None, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message, code=code)
        self.details: dict[str, object] = dict(details or {})

    def about(self, endpoint: str, how: str = "answer of {}") -> Self:
        """Names the endpoint whose answer this is about, in the sentence too, unless one is named; returns itself."""
        if not self.endpoint:
            self.endpoint = endpoint
            if endpoint not in self.message:
                self.args = (f"{self.message} ({how.format(endpoint)})",)
        return self


class Unreachable(ClientError):
    """No endpoint answered; `sent` tells whether the request may have reached one, and `cause` why the connection
    failed: "connection refused", "no answer in 5 s", …"""

    code = "unreachable"
    exit_code = 5

    def __init__(self, message: str, *, sent: bool = False, cause: str = "") -> None:
        super().__init__(message)
        self.sent, self.cause = sent, cause


class BadResponse(ClientError):
    """An endpoint sent an answer that this version doesn't understand."""

    code = "bad-response"


class NotFound(ClientError):
    """The requested object doesn't exist."""

    code = "not-found"
    exit_code = 3


class Absent(NotFound):
    """The requested object is proven not to exist at the height that the sentence names."""

    code = "absent"


class Refused(ClientError):
    """A transaction or request was refused and had no effect; `code` is the server's stable code."""

    code = "refused"
    alone = False
    """`True`: one node says so, and no other says anything. If it lies, the transaction may have an effect."""


class Busy(Refused):
    """The node refused a request because it is full; try again after `retry_after_ms`."""

    code = "busy"
    exit_code = 5

    def __init__(self, message: str, *, code: str = "busy", retry_after_ms: int = 100) -> None:
        super().__init__(message, code=code)
        self.retry_after_ms = retry_after_ms


class TransactionFailed(ClientError):
    """A transaction is final and had no effect except using its nonce; `failure` and `operation` say why."""

    code = "transaction-failed"

    def __init__(self, message: str, *, transaction: str, failure: str, operation: int) -> None:
        super().__init__(message)
        self.transaction, self.failure, self.operation = transaction, failure, operation


class OutcomeUnknown(ClientError):
    """The deadline passed, and the transaction may or may not become final; ask for `transaction` again later."""

    code = "outcome-unknown"
    exit_code = 5

    replaced: tuple[str, ...] = ()
    """Ids of transactions with the same nonce that it came in place of. At most one of all these is executed."""

    def __init__(self, transaction: str, message: str | None = None) -> None:
        text = message or (
            f"the deadline passed before the outcome of transaction {transaction} was known, and it may still be "
            f"executed until it expires, for example once a quorum of validators runs again: look it up with "
            f"`rustorium tx status {transaction}` before you sign another one; `status check` says how the net is"
        )
        super().__init__(text)
        self.transaction = transaction


class VerificationFailed(ClientError):
    """A statement of a node or a file could not be verified; nothing of it was accepted."""

    code = "verification-failed"
    exit_code = 4


class TlsRefused(VerificationFailed):
    """A node's certificate isn't trusted, or the node refuses this client's certificate: no request was sent."""

    code = "tls-refused"


class ProofRefused(VerificationFailed):
    """A proof, certificate or block doesn't show what it should: don't trust that answer."""

    code = "proof-refused"


class AbsenceUnproven(VerificationFailed):
    """A node says that there is no such thing, and shows no proof of it: ask another node."""

    code = "absence-unproven"

    def __init__(self, endpoint: str) -> None:
        super().__init__(f"{endpoint} says that there is no such thing, without a proof: ask another node")
        self.endpoint = endpoint


class ZkRefused(VerificationFailed):
    """A Groth16 key, proof or input is refused, or the proof doesn't prove its statement; `code` says which."""

    code = "zk-refused"


class WalletError(ClientError):
    """A wallet of shielded value can't do what was asked; `code` says why: not-enough, scattered, wallet-locked, …"""

    code = "wallet-failed"


class CeremonyRefused(VerificationFailed):
    """A ceremony's file, or a key that is said to come from one, doesn't show what it should."""

    code = "ceremony-refused"


class TrustExpired(VerificationFailed):
    """The thing to trust is older than the trust period: get a newer checkpoint."""

    code = "trust-expired"


class ProofTooOld(VerificationFailed):
    """A proof is valid, but its header is older than `max_age_s` allows: ask another node, or wait for newer blocks."""

    code = "proof-too-old"


class ChainForked(VerificationFailed):
    """A committee finalized two conflicting blocks: it can't be trusted. `evidence` is the content of a file that has
    both signed headers; `LightClient.show_fork` convinces others with it."""

    code = "chain-forked"

    def __init__(self, message: str, *, evidence: bytes) -> None:
        super().__init__(message)
        self.evidence = evidence


class WitnessesSilent(ClientError):
    """No witness said which block is at a height: the answer is proven, but not confirmed by a witness."""

    code = "witnesses-silent"
    exit_code = 5


class GenesisUnconfirmed(ClientError):
    """A node says that its chain has no block yet, and nobody confirms that: it may hide all that happened since the
    genesis."""

    code = "genesis-unconfirmed"
    exit_code = 4


class EpochUnknown(VerificationFailed):
    """A proof is of a committee that can't be reached from the trusted starting point: give more epoch changes, or an
    older start."""

    code = "epoch-unknown"


class GenesisNeeded(ClientError):
    """Nothing can be checked without the chain's genesis file."""

    code = "genesis-needed"
    exit_code = 2


class NoStateRoot(ClientError):
    """This chain makes no state roots, so its state can't be proven; receipts can."""

    code = "no-state-root"


class Pruned(ClientError):
    """The node keeps nothing that old; `oldest` is the oldest height that it keeps."""

    code = "pruned"
    exit_code = 3

    def __init__(self, message: str, *, oldest: int | None) -> None:
        super().__init__(message)
        self.oldest = oldest


class ProofPruned(ClientError):
    """The node keeps no root of that height; `nearest` is the nearest height whose root it keeps."""

    code = "proof-pruned"
    exit_code = 3

    def __init__(self, message: str, *, nearest: int | None) -> None:
        super().__init__(message)
        self.nearest = nearest
