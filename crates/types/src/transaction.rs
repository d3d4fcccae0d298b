//! Transactions of version 1, operations and receipts.

use crate::address::AccountId;
use crate::codec::{BoundedBytes, BoundedVec};
use crate::genesis::Validator;
use crate::ids::{AssetId, ChainId, Epoch, Hash, Height, ShardId, TxId, VerifierId};
use crate::limits::*;
use borsh::{BorshDeserialize, BorshSerialize};

/// An Ed25519 public key, as 32 bytes.
pub type PublicKey = [u8; 32];
/// An Ed25519 signature, as 64 bytes.
pub type Signature = [u8; 64];
/// A key inside a namespace.
pub type Key = BoundedBytes<KEY_BYTES_MAX>;
/// A value.
pub type Value = BoundedBytes<VALUE_BYTES_MAX>;
/// An asset's symbol: printable ASCII.
pub type Symbol = BoundedBytes<SYMBOL_BYTES_MAX>;

/// A location as the user states it: integers, 10⁻⁷ degrees. It may give hints, but never grants anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct GeoLocation {
    /// Latitude in 10⁻⁷ degrees, −900,000,000 to 900,000,000.
    pub latitude_e7: i32,
    /// Longitude in 10⁻⁷ degrees, −1,800,000,000 to 1,800,000,000.
    pub longitude_e7: i32,
}

/// A precondition: the whole transaction fails unless it holds.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Condition {
    /// The key's value has this BLAKE3 hash.
    ValueHash {
        /// Owner of the namespace.
        namespace: AccountId,
        /// The key.
        key: Key,
        /// BLAKE3 of the value's bytes.
        hash: Hash,
    },
    /// The key has no value.
    Absent {
        /// Owner of the namespace.
        namespace: AccountId,
        /// The key.
        key: Key,
    },
    /// The account holds at least this much.
    BalanceAtLeast {
        /// The holder.
        account: AccountId,
        /// The asset.
        asset: AssetId,
        /// Smallest units.
        amount: u128,
    },
    /// A statement was proved to the verifier, and one of its named inputs has this value.
    Proved {
        /// The verifier.
        verifier: VerifierId,
        /// The input's index, from 0.
        input: u8,
        /// The input's value.
        equals: InputValue,
    },
}

/// A public input of a statement: a number below the order of the curve's group, 32 bytes, big-endian.
pub type PublicInput = [u8; 32];

/// The required value of a public input.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum InputValue {
    /// This number.
    Number(PublicInput),
    /// The id of the transaction that contains the condition, as a number: its bytes, big-endian, without the three
    /// highest bits.
    ThisTransaction,
}

/// A public input by which a verifier's statements can be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct NamedInput {
    /// The input's index, from 0.
    pub index: u8,
    /// True if each value can be used only once: the input is a nullifier.
    pub once: bool,
}

/// A transfer of shielded value (docs/spec/shielded.md): its proof, the statement of the proof, and the encrypted data.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct PoolTransfer {
    /// The root of the pool's tree that contains the spent notes.
    pub root: PublicInput,
    /// Nullifiers of the spent notes. They must be new to the pool.
    pub nullifiers: [PublicInput; 2],
    /// The new notes.
    pub commitments: [PublicInput; 2],
    /// Data that the notes' receivers, and the sender, can decrypt.
    pub sealed: [u8; SEALED_BYTES],
    /// Canonical bytes of the proof.
    pub proof: [u8; TRANSFER_PROOF_BYTES],
}

/// An operation: one step of a transaction.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Operation {
    /// Creates the account that `region` and `public_key` name. The sponsor gives it `storage_bytes` of its own
    /// balance.
    CreateAccount {
        /// Home region's byte.
        region: u8,
        /// The account's key.
        public_key: PublicKey,
        /// Storage balance handed over, bytes.
        storage_bytes: u64,
    },
    /// Sets a key.
    Put {
        /// The sender, or an account that granted the sender the key.
        namespace: AccountId,
        /// The key.
        key: Key,
        /// The new value.
        value: Value,
    },
    /// Removes a key; its bytes return to the namespace's storage balance. Fails if there is no such key.
    Delete {
        /// The sender, or an account that granted the sender the key.
        namespace: AccountId,
        /// The key.
        key: Key,
    },
    /// Continues only if the condition holds.
    Require(Condition),
    /// Moves an amount of an asset from the sender.
    Transfer {
        /// The receiver; it must exist.
        to: AccountId,
        /// The asset.
        asset: AssetId,
        /// Smallest units, above 0.
        amount: u128,
    },
    /// Creates an amount of the sender's own asset.
    Issue {
        /// The asset's symbol. The asset's id is derived from the sender and the symbol.
        symbol: Symbol,
        /// The receiver; it must exist.
        to: AccountId,
        /// Smallest units, above 0.
        amount: u128,
    },
    /// Lets another account put and delete keys under these prefixes of the sender's namespace. An empty list takes the
    /// right back.
    Grant {
        /// The account that may write.
        to: AccountId,
        /// Key prefixes; an empty prefix is the whole namespace.
        prefixes: BoundedVec<Key, GRANT_PREFIXES_MAX>,
    },
    /// For operators: a validator joins the committee with the next epoch.
    AddValidator {
        /// The validator.
        validator: Validator,
    },
    /// For operators: a validator leaves the committee with the next epoch.
    RemoveValidator {
        /// The validator's key.
        validator_key: PublicKey,
    },
    /// For operators, or the validator's owner key alone: the validator has other keys from the next epoch on.
    ReplaceKey {
        /// The validator's present key.
        validator_key: PublicKey,
        /// The key that signs votes and batches from then on.
        new_validator_key: PublicKey,
        /// The key that proves the node's identity from then on; may be the present one.
        new_node_key: PublicKey,
    },
    /// For operators: the epoch ends as soon as it can.
    EndEpoch {
        /// The present epoch.
        epoch: Epoch,
    },
    /// Registers a Groth16 verifying key, whose statements can be proved from then on.
    RegisterVerifier {
        /// Canonical bytes (`rustorium_zk::Key`).
        key: BoundedBytes<VERIFYING_KEY_BYTES_MAX>,
        /// The inputs that a `Require` can ask for, ascending.
        named: BoundedVec<NamedInput, NAMED_INPUTS_MAX>,
    },
    /// Continues only if the proof holds, and records its statement. Recording a statement again changes nothing.
    VerifyProof {
        /// The verifier.
        verifier: VerifierId,
        /// The statement's public inputs, all of them, in order.
        inputs: BoundedVec<PublicInput, PUBLIC_INPUTS_MAX>,
        /// Canonical bytes of the proof.
        proof: BoundedBytes<GROTH16_PROOF_BYTES_MAX>,
    },
    /// Moves an amount of an asset from the sender into a pool's notes.
    Shield {
        /// The pool's number.
        pool: u32,
        /// The asset.
        asset: AssetId,
        /// Smallest units, above 0.
        amount: u64,
        /// The transfer.
        transfer: Box<PoolTransfer>,
    },
    /// Turns notes into new notes, inside a pool.
    ShieldedTransfer {
        /// The pool's number.
        pool: u32,
        /// The transfer.
        transfer: Box<PoolTransfer>,
    },
    /// Moves an amount of an asset out of a pool's notes.
    Unshield {
        /// The pool's number.
        pool: u32,
        /// The asset.
        asset: AssetId,
        /// Smallest units, above 0.
        amount: u64,
        /// The receiver; it must exist.
        to: AccountId,
        /// The transfer.
        transfer: Box<PoolTransfer>,
    },
    /// Version 2, for operators: a validator joins the committee with the next epoch, with proofs that its keys are
    /// held.
    AddProven {
        /// The validator.
        validator: Validator,
        /// Proof of possession of the validator's keys.
        possession: Possession,
    },
    /// Version 2, for operators, or, once an epoch, for the validator's owner key alone: the validator has other keys
    /// from the next epoch on, with proofs that they are held.
    ReplaceProven {
        /// The validator's present key.
        validator_key: PublicKey,
        /// The key that signs votes and batches from then on.
        new_validator_key: PublicKey,
        /// The key that proves the node's identity from then on; may be the present one.
        new_node_key: PublicKey,
        /// Proof of possession of the new keys.
        possession: Possession,
    },
}

/// A proof that the holder of a validator's new keys means them for this owner on this chain (R46).
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Possession {
    /// The new validator key's signature.
    pub validator: Signature,
    /// The new node key's signature.
    pub node: Signature,
}

/// The body that both new keys sign (after the domain string).
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct PossessionBody {
    /// The chain.
    pub chain: ChainId,
    /// The owner of the validator that gets the keys. Nobody else can use the proof.
    pub owner_key: PublicKey,
    /// The new validator key.
    pub validator_key: PublicKey,
    /// The new node key.
    pub node_key: PublicKey,
}

/// The part of a transaction that the sender signs (after the domain string).
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct TransactionBody {
    /// Protocol version.
    pub version: u16,
    /// The transaction's chain.
    pub chain: ChainId,
    /// The account that pays and acts.
    pub sender: AccountId,
    /// The sender's key; execution checks that it is the account's.
    pub public_key: PublicKey,
    /// The sender's next nonce; the first is 0.
    pub nonce: u64,
    /// Header time from which the transaction is skipped, Unix ms.
    pub expires_at_ms: u64,
    /// The most work units that the transaction may use.
    pub work_limit: u64,
    /// The shard that the client believes is the sender's home; only a hint.
    pub shard_hint: Option<ShardId>,
    /// The location that the user states.
    pub location: Option<GeoLocation>,
    /// Operations, executed in order, all or nothing.
    pub data: BoundedVec<Operation, OPERATIONS_MAX>,
}

/// A signed transaction in the form of version 1.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Transaction1 {
    /// The signed part.
    pub body: TransactionBody,
    /// Ed25519 over domain string and body.
    pub signature: Signature,
}

/// Reason why a transaction that consumed its nonce had no other effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum FailureCode {
    /// The transaction used more work than its declared limit.
    WorkLimit = 0,
    /// A `Require` did not hold.
    Precondition = 1,
    /// The sender neither owns the namespace nor was granted the key.
    NotAllowed = 2,
    /// The balance of the asset is too small.
    InsufficientBalance = 3,
    /// The storage balance is too small.
    InsufficientStorage = 4,
    /// The named account does not exist.
    NoSuchAccount = 5,
    /// The account to be created exists.
    AccountExists = 6,
    /// The key to be deleted does not exist.
    NoSuchKey = 7,
    /// An amount of zero, or a sum over the largest amount.
    BadAmount = 8,
    /// The symbol is empty or not printable ASCII.
    BadSymbol = 9,
    /// The transaction makes more writes than are allowed.
    TooManyWrites = 10,
    /// The sender is neither an operator of the chain nor, where that is enough, the validator's owner.
    NotAnOperator = 11,
    /// No validator of the next committee has this key.
    NoSuchValidator = 12,
    /// The next committee has a validator with this key.
    ValidatorExists = 13,
    /// The next committee would have no validator, or too many.
    CommitteeSize = 14,
    /// Another validator of the next committee has the key.
    KeyInUse = 15,
    /// Another epoch is in progress.
    WrongEpoch = 16,
    /// The operator approved this before, in this epoch.
    AlreadyApproved = 17,
    /// The name isn't UTF-8, or the address isn't printable ASCII.
    BadValidator = 18,
    /// The verifying key is refused, or the named inputs don't exist in it, aren't ascending or repeat one.
    BadVerifier = 19,
    /// The account registered this verifier before.
    VerifierExists = 20,
    /// No such verifier is registered.
    NoSuchVerifier = 21,
    /// The proof or the inputs are malformed for this verifier's key.
    BadProof = 22,
    /// The proof doesn't prove the statement.
    NotProved = 23,
    /// An input that can be used only once was already used.
    InputUsed = 24,
    /// The chain has no pool of this number.
    NoSuchPool = 25,
    /// A root, nullifier or commitment is no element of the field, or a proof doesn't decode.
    BadTransfer = 26,
    /// The transfer's root isn't among the pool's newest.
    OldRoot = 27,
    /// A note was spent before, or twice at once.
    NoteSpent = 28,
    /// The pool holds less of the asset than the amount to be taken out.
    PoolBalance = 29,
    /// The pool's tree has no room for the transfer's notes.
    PoolFull = 30,
    /// A new key of a validator has no signature or a wrong one (R46), or is a key under which anybody can sign
    /// (R51).
    NotPossessed = 31,
    /// The key belonged before to a validator that is or was in the next committee (R45).
    KeyRetired = 32,
    /// The owner already replaced the validator's keys in this epoch (R45).
    ReplacedAlready = 33,
    /// The account's delays are out of bounds, or it would recover itself (V29).
    BadAuthority = 34,
    /// No change of the account's authority waits, or another one than the operation names (V30, V31).
    NothingPending = 35,
    /// The sender isn't the account's recovery account (V30, V31).
    NotRecovery = 36,
    /// The account, or the one under whose id the operation writes, is paused (V43).
    Paused = 40,
    /// Senders of this kind may not do this: seats, owners and accounts have operations of their own (V36).
    WrongSender = 41,
    /// No open proposal has this number and this change, or the seat approved none (V39).
    NoSuchProposal = 42,
    /// The seat, or all seats together, have as many open proposals as they may (V42).
    TooManyProposals = 43,
    /// Seats, quorum or wanted parameters changed since the proposal was made (V12, V40).
    StaleProposal = 44,
    /// A parameter, the seats or their quorum can't be as proposed (V8, V45).
    BadParameters = 45,
    /// A time is over, or too far ahead (V39, V43).
    BadTime = 46,
    /// Nothing of this scope is paused, or as much is paused as may be (V43).
    BadPause = 47,
    /// No sponsor has this number, or its shares ended (V58).
    NoSuchSponsor = 48,
    /// The validator got another owner in this epoch already (V47).
    TooSoon = 49,
    /// Owners of this chain can't replace operators, or seats decided about operators last (V48).
    NotLost = 50,
    /// Another shard has an account or a leaf that the operation concerns.
    CrossShard = 51,
    /// No upgrade to this version can be wanted, or none that could be recalled is (V11).
    BadVersion = 52,
}

/// Result of a transaction that has a receipt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Outcome {
    /// All operations took effect.
    Ok,
    /// No operation took effect; the nonce is still used.
    Failed {
        /// Reason of the failure.
        code: FailureCode,
        /// Index of the operation that failed, from 0.
        operation: u16,
    },
}

/// The chain's record of an executed transaction. It is hashed into the receipts root.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// The transaction.
    pub transaction: TxId,
    /// The transaction's sender.
    pub sender: AccountId,
    /// The transaction's nonce.
    pub nonce: u64,
    /// The block's height.
    pub height: Height,
    /// Position among the block's receipts.
    pub index: u32,
    /// The block's time, Unix ms.
    pub time_ms: u64,
    /// Work units used.
    pub work: u64,
    /// The transaction's result.
    pub outcome: Outcome,
}
