//! Transactions and receipts as JSON.

use super::operation::OperationView;
use super::scalar::Hex;
use super::schema::ToSchema;
use super::signers::{AuthorityView, SignatureView};
use crate::answers::{At, Submitted};
use rustorium_types::{
    AccountId, ChainId, FailureCode, GeoLocation, Hash, Height, Outcome, Receipt, Rules, ShardId, Signature2,
    Transaction, Transaction1, Transaction2, TxId, encode,
};
use serde::Serialize;

/// The state that an answer describes: shard, executed height, and the result root at that height.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct AtView {
    /// The shard.
    #[schema(value_type = u32)]
    pub shard: ShardId,
    /// Executed height.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Result root at that height.
    #[schema(value_type = String)]
    pub root: Hash,
    /// State root at that height; only with a proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub state_root: Option<Hash>,
}

impl AtView {
    /// Joins shard and place.
    pub fn new(shard: ShardId, at: At) -> Self {
        Self { shard, height: at.height, root: at.root, state_root: None }
    }

    /// A place at which something is proven.
    pub fn proven(shard: ShardId, at: At, state_root: Hash) -> Self {
        Self { state_root: Some(state_root), ..Self::new(shard, at) }
    }
}

/// The reason why a transaction with a receipt had no effect.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct FailureView {
    /// Stable name of the reason.
    pub code: &'static str,
    /// The operation that failed, from 0.
    pub operation: u16,
}

/// A receipt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ReceiptView {
    /// The transaction.
    #[schema(value_type = String)]
    pub id: TxId,
    /// The transaction's sender.
    #[schema(value_type = String)]
    pub sender: AccountId,
    /// The transaction's nonce.
    pub nonce: u64,
    /// The block's height.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Position among the block's receipts.
    pub index: u32,
    /// The block's time, Unix ms.
    pub time_ms: u64,
    /// Work units used.
    pub work: u64,
    /// `ok` or `failed`.
    pub outcome: &'static str,
    /// The reason, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
}

/// The stable name of a failure.
pub fn failure_name(code: FailureCode) -> &'static str {
    match code {
        FailureCode::WorkLimit => "work-limit",
        FailureCode::Precondition => "precondition",
        FailureCode::NotAllowed => "not-allowed",
        FailureCode::InsufficientBalance => "insufficient-balance",
        FailureCode::InsufficientStorage => "insufficient-storage",
        FailureCode::NoSuchAccount => "no-such-account",
        FailureCode::AccountExists => "account-exists",
        FailureCode::NoSuchKey => "no-such-key",
        FailureCode::BadAmount => "bad-amount",
        FailureCode::BadSymbol => "bad-symbol",
        FailureCode::TooManyWrites => "too-many-writes",
        FailureCode::NotAnOperator => "not-an-operator",
        FailureCode::NoSuchValidator => "no-such-validator",
        FailureCode::ValidatorExists => "validator-exists",
        FailureCode::CommitteeSize => "committee-size",
        FailureCode::KeyInUse => "key-in-use",
        FailureCode::WrongEpoch => "wrong-epoch",
        FailureCode::AlreadyApproved => "already-approved",
        FailureCode::BadValidator => "bad-validator",
        FailureCode::BadVerifier => "bad-verifier",
        FailureCode::VerifierExists => "verifier-exists",
        FailureCode::NoSuchVerifier => "no-such-verifier",
        FailureCode::BadProof => "bad-proof",
        FailureCode::NotProved => "not-proved",
        FailureCode::InputUsed => "input-used",
        FailureCode::NoSuchPool => "no-such-pool",
        FailureCode::BadTransfer => "bad-transfer",
        FailureCode::OldRoot => "old-root",
        FailureCode::NoteSpent => "note-spent",
        FailureCode::PoolBalance => "pool-balance",
        FailureCode::PoolFull => "pool-full",
        FailureCode::NotPossessed => "not-possessed",
        FailureCode::KeyRetired => "key-retired",
        FailureCode::ReplacedAlready => "replaced-already",
        FailureCode::BadAuthority => "bad-authority",
        FailureCode::NothingPending => "nothing-pending",
        FailureCode::NotRecovery => "not-recovery",
        FailureCode::Paused => "paused",
        FailureCode::WrongSender => "wrong-sender",
        FailureCode::NoSuchProposal => "no-such-proposal",
        FailureCode::TooManyProposals => "too-many-proposals",
        FailureCode::StaleProposal => "stale-proposal",
        FailureCode::BadParameters => "bad-parameters",
        FailureCode::BadTime => "bad-time",
        FailureCode::BadPause => "bad-pause",
        FailureCode::TooSoon => "too-soon",
        FailureCode::BadVersion => "bad-version",
        FailureCode::NotLost => "not-lost",
        FailureCode::CrossShard => "cross-shard",
        FailureCode::NoSuchSponsor => "no-such-sponsor",
    }
}

impl From<&Receipt> for ReceiptView {
    fn from(receipt: &Receipt) -> Self {
        let (outcome, failure) = match receipt.outcome {
            Outcome::Ok => ("ok", None),
            Outcome::Failed { code, operation } => {
                ("failed", Some(FailureView { code: failure_name(code), operation }))
            }
        };
        Self {
            id: receipt.transaction,
            sender: receipt.sender,
            nonce: receipt.nonce,
            height: receipt.height,
            index: receipt.index,
            time_ms: receipt.time_ms,
            work: receipt.work,
            outcome,
            failure,
        }
    }
}

/// A location that the user claims, in 10⁻⁷ degrees.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct LocationView {
    /// Latitude.
    pub latitude_e7: i32,
    /// Longitude.
    pub longitude_e7: i32,
}

impl From<GeoLocation> for LocationView {
    fn from(GeoLocation { latitude_e7, longitude_e7 }: GeoLocation) -> Self {
        Self { latitude_e7, longitude_e7 }
    }
}

/// A signed transaction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct TransactionView {
    /// Protocol version.
    pub version: u16,
    /// The chain. Transactions of version 2 don't name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub chain: Option<ChainId>,
    /// The sender.
    #[schema(value_type = String)]
    pub sender: AccountId,
    /// The sender's key, in version 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub public_key: Option<Hex<32>>,
    /// The keys that may act for the sender, from version 2 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<AuthorityView>,
    /// The sender's nonce.
    pub nonce: u64,
    /// Header time from which the transaction is skipped, Unix ms.
    pub expires_at_ms: u64,
    /// Maximum number of work units that it may use.
    pub work_limit: u64,
    /// The sender's home shard, as the client assumed it.
    #[schema(value_type = Option<u32>)]
    pub shard_hint: Option<ShardId>,
    /// The location that the user claims.
    pub location: Option<LocationView>,
    /// Operations in order; all of them take effect, or none.
    pub operations: Vec<OperationView>,
    /// The sender's signature, in version 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub signature: Option<Hex<64>>,
    /// The signatures of the sender's keys, from version 2 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signatures: Option<Vec<SignatureView>>,
}

impl From<&Transaction> for TransactionView {
    fn from(transaction: &Transaction) -> Self {
        match transaction {
            Transaction::V1(first) => first.into(),
            Transaction::V2(second) => second.into(),
        }
    }
}

impl From<&Transaction1> for TransactionView {
    fn from(transaction: &Transaction1) -> Self {
        let body = &transaction.body;
        Self {
            version: body.version,
            chain: Some(body.chain),
            sender: body.sender,
            public_key: Some(Hex(body.public_key)),
            authority: None,
            nonce: body.nonce,
            expires_at_ms: body.expires_at_ms,
            work_limit: body.work_limit,
            shard_hint: body.shard_hint,
            location: body.location.map(Into::into),
            operations: body.data.iter().map(OperationView::from).collect(),
            signature: Some(Hex(transaction.signature)),
            signatures: None,
        }
    }
}

impl From<&Transaction2> for TransactionView {
    fn from(transaction: &Transaction2) -> Self {
        let body = transaction.body();
        let signed = transaction.signatures().iter();
        let operation = |one| OperationView::of_second(&body.sender, one);
        Self {
            version: Rules::V2.version(),
            chain: None,
            sender: body.sender,
            public_key: None,
            authority: Some((&body.authority).into()),
            nonce: body.nonce,
            expires_at_ms: body.expires_at_ms,
            work_limit: body.work_limit,
            shard_hint: body.shard_hint,
            location: body.location.map(Into::into),
            operations: body.data.iter().map(operation).collect(),
            signature: None,
            signatures: Some(
                signed
                    .map(|(key, Signature2::Ed25519(bytes))| SignatureView { key: *key, signature: Hex(*bytes) })
                    .collect(),
            ),
        }
    }
}

/// The result of submitting one transaction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum SubmittedView {
    /// The transaction is in the pool.
    Accepted {
        /// The transaction.
        #[schema(value_type = String)]
        id: TxId,
    },
    /// The transaction is final and executed.
    Final {
        /// The transaction.
        #[schema(value_type = String)]
        id: TxId,
        /// The transaction's receipt.
        receipt: ReceiptView,
    },
    /// The transaction's result is certified.
    Certified {
        /// The transaction.
        #[schema(value_type = String)]
        id: TxId,
        /// The transaction's receipt.
        receipt: ReceiptView,
        /// Canonical bytes of the receipt's proof.
        proof_hex: String,
    },
    /// The transaction was refused.
    Refused {
        /// The transaction, if its id is known.
        #[schema(value_type = Option<String>)]
        id: Option<TxId>,
        /// Stable name of the reason.
        code: &'static str,
        /// One sentence with the reason and the next step.
        message: String,
        /// Time in ms after which trying again may help.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// The transaction was taken, but its outcome wasn't known in time. Ask for its status, or send the same bytes
    /// again.
    TimedOut {
        /// The transaction.
        #[schema(value_type = String)]
        id: TxId,
    },
}

impl From<&Submitted> for SubmittedView {
    fn from(submitted: &Submitted) -> Self {
        match submitted {
            Submitted::Accepted(id) => Self::Accepted { id: *id },
            Submitted::Final(id, receipt) => Self::Final { id: *id, receipt: receipt.into() },
            Submitted::Certified(id, proof) => Self::Certified {
                id: *id,
                receipt: (&proof.receipt).into(),
                proof_hex: hex::encode(encode(proof.as_ref())),
            },
            Submitted::Refused(refused) => Self::Refused {
                id: refused.id,
                code: refused.code,
                message: refused.message.clone(),
                retry_after_ms: refused.retry_after_ms,
            },
            Submitted::TimedOut(id) => Self::TimedOut { id: *id },
        }
    }
}

/// The answer to a submission: one result per transaction, in order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct SubmissionView {
    /// The results.
    pub results: Vec<SubmittedView>,
    /// The node's newest state when it answered.
    pub at: AtView,
}

/// A node's knowledge of a transaction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct TransactionAnswer {
    /// The transaction's id.
    #[schema(value_type = String)]
    pub id: TxId,
    /// `pending`, `final` or `certified`.
    pub status: &'static str,
    /// The transaction, once final.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<TransactionView>,
    /// The transaction's receipt, once final.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptView>,
    /// With `proof=1`: the transaction's canonical bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_hex: Option<String>,
    /// With `proof=1`: canonical bytes of the receipt's proof, once certified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof_hex: Option<String>,
    /// The state that the answer describes.
    pub at: AtView,
}

/// One of an account's transactions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct PlacedTransaction {
    /// The transaction.
    #[schema(value_type = String)]
    pub id: TxId,
    /// Height of the transaction's block.
    #[schema(value_type = u64)]
    pub height: Height,
    /// The receipt's position in the block.
    pub index: u32,
}

/// A page of an account's transactions, newest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct TransactionsPage {
    /// The transactions.
    pub transactions: Vec<PlacedTransaction>,
    /// Value of `before` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The state that the answer describes.
    pub at: AtView,
}
