//! Transactions and their operations, batches of them, and what executing one leaves behind.

use crate::address::AccountId;
use crate::codec::{BoundedBytes, BoundedVec};
use crate::genesis::Validator;
use crate::ids::{AssetId, BatchDigest, ChainId, Epoch, Hash, Height, ShardId, TxId, ValidatorIndex, VerifierId};
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

/// Where a user says that it is: integers, 10⁻⁷ degrees. It may guide, never grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct GeoLocation {
    /// Latitude in 10⁻⁷ degrees, −900,000,000 to 900,000,000.
    pub latitude_e7: i32,
    /// Longitude in 10⁻⁷ degrees, −1,800,000,000 to 1,800,000,000.
    pub longitude_e7: i32,
}

/// A precondition: the transaction fails as a whole where it doesn't hold.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Condition {
    /// The key's value has this BLAKE3 hash.
    ValueHash {
        /// Whose namespace.
        namespace: AccountId,
        /// The key.
        key: Key,
        /// BLAKE3 of the value's bytes.
        hash: Hash,
    },
    /// The key has no value.
    Absent {
        /// Whose namespace.
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
    /// A statement was proved to the verifier in which one of the inputs that it names has this value.
    Proved {
        /// The verifier.
        verifier: VerifierId,
        /// The input's index, from 0.
        input: u8,
        /// Its value.
        equals: InputValue,
    },
}

/// A public input of a statement: a number below the order of the curve's group, 32 bytes, big-endian.
pub type PublicInput = [u8; 32];

/// What a public input is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum InputValue {
    /// This number.
    Number(PublicInput),
    /// The id of the transaction that asks, as a number: its bytes, big-endian, without the three highest bits.
    ThisTransaction,
}

/// A public input by which a verifier's statements can be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct NamedInput {
    /// Its index, from 0.
    pub index: u8,
    /// Whether each value can be used once alone: a nullifier.
    pub once: bool,
}

/// A transfer of shielded value (docs/spec/shielded.md): its proof, what that is about, and what is encrypted with it.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct PoolTransfer {
    /// The root of the pool's tree under which the spent notes lie.
    pub root: PublicInput,
    /// What stands for the spent notes; new to the pool.
    pub nullifiers: [PublicInput; 2],
    /// The new notes.
    pub commitments: [PublicInput; 2],
    /// What their receivers, and the sender, can decrypt.
    pub sealed: [u8; SEALED_BYTES],
    /// Canonical bytes of the proof.
    pub proof: [u8; TRANSFER_PROOF_BYTES],
}

/// One step of a transaction.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Operation {
    /// Makes the account that `region` and `public_key` name; the sponsor gives it `storage_bytes` of its own balance.
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
        /// The sender, or an account that granted it the key.
        namespace: AccountId,
        /// The key.
        key: Key,
        /// The new value.
        value: Value,
    },
    /// Removes a key; its bytes go back to the namespace's storage balance. Fails where there is none.
    Delete {
        /// The sender, or an account that granted it the key.
        namespace: AccountId,
        /// The key.
        key: Key,
    },
    /// Goes on only where the condition holds.
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
        /// The asset's symbol; its id is made of the sender and this.
        symbol: Symbol,
        /// The receiver; it must exist.
        to: AccountId,
        /// Smallest units, above 0.
        amount: u128,
    },
    /// Lets another account put and delete keys under these prefixes of the sender's namespace; none takes the right back.
    Grant {
        /// Who may write.
        to: AccountId,
        /// Key prefixes; an empty prefix is the whole namespace.
        prefixes: BoundedVec<Key, GRANT_PREFIXES_MAX>,
    },
    /// Operators: a validator joins the committee with the next epoch.
    AddValidator {
        /// The validator.
        validator: Validator,
    },
    /// Operators: a validator leaves the committee with the next epoch.
    RemoveValidator {
        /// Its validator key.
        validator_key: PublicKey,
    },
    /// Operators, or the validator's owner key alone: it has other keys from the next epoch on.
    ReplaceKey {
        /// Its validator key.
        validator_key: PublicKey,
        /// Signs votes and batches from then on.
        new_validator_key: PublicKey,
        /// Proves the node's identity from then on; may be the one that it has.
        new_node_key: PublicKey,
    },
    /// Operators: the epoch ends as soon as it can.
    EndEpoch {
        /// The epoch that goes on now.
        epoch: Epoch,
    },
    /// Takes a Groth16 verifying key, whose statements can be proved from then on.
    RegisterVerifier {
        /// Canonical bytes (`rustorium_zk::Key`).
        key: BoundedBytes<VERIFYING_KEY_BYTES_MAX>,
        /// The inputs that a `Require` can ask for, ascending.
        named: BoundedVec<NamedInput, NAMED_INPUTS_MAX>,
    },
    /// Goes on only where the proof holds, and records its statement; recording it again changes nothing.
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
    /// Makes new notes of notes, inside a pool.
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
    /// Version 2, operators: a validator joins the committee with the next epoch, whose keys were shown to be held.
    AddProven {
        /// The validator.
        validator: Validator,
        /// Of its keys.
        possession: Possession,
    },
    /// Version 2, operators, or once an epoch the validator's owner key alone: it has other keys from the next epoch on,
    /// which were shown to be held.
    ReplaceProven {
        /// Its validator key.
        validator_key: PublicKey,
        /// Signs votes and batches from then on.
        new_validator_key: PublicKey,
        /// Proves the node's identity from then on; may be the one that it has.
        new_node_key: PublicKey,
        /// Of the new keys.
        possession: Possession,
    },
}

/// Shows that somebody holds a validator's new keys, and means them for this owner on this chain (R46).
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Possession {
    /// The new validator key's signature.
    pub validator: Signature,
    /// The new node key's signature.
    pub node: Signature,
}

/// What both new keys sign (after the domain string).
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct PossessionBody {
    /// The chain.
    pub chain: ChainId,
    /// Whose validator has the keys: nobody else can use the proof.
    pub owner_key: PublicKey,
    /// The new validator key.
    pub validator_key: PublicKey,
    /// The new node key.
    pub node_key: PublicKey,
}

/// What a sender signs (after the domain string).
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct TransactionBody {
    /// Protocol version.
    pub version: u16,
    /// The chain it is for.
    pub chain: ChainId,
    /// The paying and acting account.
    pub sender: AccountId,
    /// The sender's key; execution checks that it is the account's.
    pub public_key: PublicKey,
    /// The sender's next nonce; the first is 0.
    pub nonce: u64,
    /// Header time from which it is skipped, Unix ms.
    pub expires_at_ms: u64,
    /// The most work units it may use.
    pub work_limit: u64,
    /// The shard that the client thinks is the sender's home; advice.
    pub shard_hint: Option<ShardId>,
    /// Where the user says that it is.
    pub location: Option<GeoLocation>,
    /// Done all or nothing, in order.
    pub data: BoundedVec<Operation, OPERATIONS_MAX>,
}

/// A signed transaction.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Transaction {
    /// What is signed.
    pub body: TransactionBody,
    /// Ed25519 over domain string and body.
    pub signature: Signature,
}

/// A link of a lane: consecutive transactions that one validator made available.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct BatchBody {
    /// The chain.
    pub chain: ChainId,
    /// The shard.
    pub shard: ShardId,
    /// The epoch; lanes restart with each.
    pub epoch: Epoch,
    /// Whose lane.
    pub author: ValidatorIndex,
    /// Position in the lane; the first is 0.
    pub seq: u64,
    /// Digest of the one before; zero for the first.
    pub previous: BatchDigest,
    /// In order.
    pub transactions: BoundedVec<Transaction, BATCH_TRANSACTIONS_MAX>,
}

/// A signed batch.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Batch {
    /// What its digest covers.
    pub body: BatchBody,
    /// The author's Ed25519 signature over domain string and digest.
    pub signature: Signature,
}

/// Why a transaction that consumed its nonce had no other effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum FailureCode {
    /// Used more work than its declared limit.
    WorkLimit = 0,
    /// A `Require` did not hold.
    Precondition = 1,
    /// Neither owner nor granted.
    NotAllowed = 2,
    /// Too small a balance of the asset.
    InsufficientBalance = 3,
    /// Too small a storage balance.
    InsufficientStorage = 4,
    /// The named account does not exist.
    NoSuchAccount = 5,
    /// The account to be made exists.
    AccountExists = 6,
    /// The key to be deleted does not exist.
    NoSuchKey = 7,
    /// An amount of zero, or a sum over the largest amount.
    BadAmount = 8,
    /// A symbol that is empty or not printable ASCII.
    BadSymbol = 9,
    /// More writes than a transaction may make.
    TooManyWrites = 10,
    /// Neither an operator of the chain nor, where it may, the validator's owner.
    NotAnOperator = 11,
    /// No validator of the next committee has this key.
    NoSuchValidator = 12,
    /// The next committee has a validator with this key.
    ValidatorExists = 13,
    /// The next committee would have no validator, or too many.
    CommitteeSize = 14,
    /// Another validator of the next committee has the key.
    KeyInUse = 15,
    /// Another epoch goes on now.
    WrongEpoch = 16,
    /// The operator approved this before, in this epoch.
    AlreadyApproved = 17,
    /// A name that isn't UTF-8, or an address that isn't printable ASCII.
    BadValidator = 18,
    /// A verifying key that is refused, or named inputs that it hasn't, aren't ascending or come twice.
    BadVerifier = 19,
    /// The account registered this verifier before.
    VerifierExists = 20,
    /// No such verifier is registered.
    NoSuchVerifier = 21,
    /// Proof or inputs that no proof and no inputs for this verifier's key are.
    BadProof = 22,
    /// The proof doesn't prove the statement.
    NotProved = 23,
    /// An input that can be used once was used.
    InputUsed = 24,
    /// The chain has no pool of this number.
    NoSuchPool = 25,
    /// A root, nullifier or commitment that is no element of the field, or a proof that doesn't decode.
    BadTransfer = 26,
    /// The transfer's root isn't among the pool's newest.
    OldRoot = 27,
    /// A note was spent before, or twice at once.
    NoteSpent = 28,
    /// The pool holds less of the asset than is to leave it.
    PoolBalance = 29,
    /// The pool's tree has no room for the transfer's notes.
    PoolFull = 30,
    /// No signature, or a wrong one, by a new validator or node key (R46), or a new key under which anybody signs (R51).
    NotPossessed = 31,
    /// A validator that is or was in the next committee had the key before (R45).
    KeyRetired = 32,
    /// The owner replaced the validator's keys in this epoch already (R45).
    ReplacedAlready = 33,
}

/// How a transaction that has a receipt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Outcome {
    /// All operations took effect.
    Ok,
    /// None did; the nonce is used all the same.
    Failed {
        /// Why.
        code: FailureCode,
        /// The operation that failed, from 0.
        operation: u16,
    },
}

/// What the chain says of an executed transaction; it is hashed into the receipts root.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// The transaction.
    pub transaction: TxId,
    /// Its sender.
    pub sender: AccountId,
    /// Its nonce.
    pub nonce: u64,
    /// The block's height.
    pub height: Height,
    /// Position among the block's receipts.
    pub index: u32,
    /// The block's time, Unix ms.
    pub time_ms: u64,
    /// Work units used.
    pub work: u64,
    /// The end of it.
    pub outcome: Outcome,
}
