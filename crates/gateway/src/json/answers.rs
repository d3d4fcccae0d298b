//! What the HTTP face answers with.

use super::operation::OperationView;
use super::scalar::{Amount, Hex, text};
use crate::backend::{AccountView, At, BlockView, Status, Submitted};
use rustorium_types::{
    AccountId, AssetId, BatchDigest, BlockDigest, ChainId, Epoch, FailureCode, Genesis, Hash, Header, Height, Outcome,
    Receipt, ShardId, StateClaim, Transaction, TxId, ValidatorIndex, View, encode,
};
use serde::Serialize;
use utoipa::ToSchema;

/// Where an answer holds: shard, executed height, result root there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct AtView {
    /// The shard.
    #[schema(value_type = u32)]
    pub shard: ShardId,
    /// Executed height.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Result root there.
    #[schema(value_type = String)]
    pub root: Hash,
}

impl AtView {
    /// Joins shard and place.
    pub fn new(shard: ShardId, at: At) -> Self {
        Self { shard, height: at.height, root: at.root }
    }
}

/// Why a transaction with a receipt had no effect.
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
    /// Its sender.
    #[schema(value_type = String)]
    pub sender: AccountId,
    /// Its nonce.
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
    /// Why, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
}

/// The stable name of a failure.
pub fn failure_name(code: FailureCode) -> &'static str {
    match code {
        FailureCode::WorkLimit => "work_limit",
        FailureCode::Precondition => "precondition",
        FailureCode::NotAllowed => "not_allowed",
        FailureCode::InsufficientBalance => "insufficient_balance",
        FailureCode::InsufficientStorage => "insufficient_storage",
        FailureCode::NoSuchAccount => "no_such_account",
        FailureCode::AccountExists => "account_exists",
        FailureCode::NoSuchKey => "no_such_key",
        FailureCode::BadAmount => "bad_amount",
        FailureCode::BadSymbol => "bad_symbol",
        FailureCode::TooManyWrites => "too_many_writes",
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

/// Where a user says that it is, in 10⁻⁷ degrees.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct LocationView {
    /// Latitude.
    pub latitude_e7: i32,
    /// Longitude.
    pub longitude_e7: i32,
}

/// A signed transaction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct TransactionView {
    /// Protocol version.
    pub version: u16,
    /// The chain.
    #[schema(value_type = String)]
    pub chain: ChainId,
    /// The sender.
    #[schema(value_type = String)]
    pub sender: AccountId,
    /// The sender's key.
    #[schema(value_type = String)]
    pub public_key: Hex<32>,
    /// The sender's nonce.
    pub nonce: u64,
    /// Header time from which it is skipped, Unix ms.
    pub expires_at_ms: u64,
    /// The most work units it may use.
    pub work_limit: u64,
    /// The shard that the client thought is the sender's home.
    #[schema(value_type = Option<u32>)]
    pub shard_hint: Option<ShardId>,
    /// Where the user says that it is.
    pub location: Option<LocationView>,
    /// Done all or nothing, in order.
    pub operations: Vec<OperationView>,
    /// The sender's signature.
    #[schema(value_type = String)]
    pub signature: Hex<64>,
}

impl From<&Transaction> for TransactionView {
    fn from(transaction: &Transaction) -> Self {
        let body = &transaction.body;
        Self {
            version: body.version,
            chain: body.chain,
            sender: body.sender,
            public_key: Hex(body.public_key),
            nonce: body.nonce,
            expires_at_ms: body.expires_at_ms,
            work_limit: body.work_limit,
            shard_hint: body.shard_hint,
            location: body
                .location
                .map(|l| LocationView { latitude_e7: l.latitude_e7, longitude_e7: l.longitude_e7 }),
            operations: body.data.iter().map(OperationView::from).collect(),
            signature: Hex(transaction.signature),
        }
    }
}

/// How the submission of one transaction ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum SubmittedView {
    /// The pool holds it.
    Accepted {
        /// The transaction.
        #[schema(value_type = String)]
        id: TxId,
    },
    /// It is final and executed.
    Final {
        /// The transaction.
        #[schema(value_type = String)]
        id: TxId,
        /// Its receipt.
        receipt: ReceiptView,
    },
    /// It is certified.
    Certified {
        /// The transaction.
        #[schema(value_type = String)]
        id: TxId,
        /// Its receipt.
        receipt: ReceiptView,
        /// Canonical bytes of the receipt's proof.
        proof_hex: String,
    },
    /// It was not taken.
    Refused {
        /// The transaction, where its id is known.
        #[schema(value_type = Option<String>)]
        id: Option<TxId>,
        /// Stable name of the reason.
        code: &'static str,
        /// One sentence.
        message: String,
        /// When trying again may help.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// Taken; its end was not seen in time. Ask for its status, or send the same bytes again.
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
    /// Where the node stood when it answered.
    pub at: AtView,
}

/// What a node knows of a transaction.
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
    /// Its receipt, once final.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptView>,
    /// With `proof=1`: the transaction's canonical bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_hex: Option<String>,
    /// With `proof=1`: canonical bytes of the receipt's proof, once certified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof_hex: Option<String>,
    /// Where the answer holds.
    pub at: AtView,
}

/// An account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct AccountAnswer {
    /// Its address.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// The next nonce.
    pub nonce: u64,
    /// Its key.
    #[schema(value_type = String)]
    pub public_key: Hex<32>,
    /// Home region's byte.
    pub region: u8,
    /// Work units left.
    pub quota_left: u64,
    /// Storage balance left, bytes.
    pub storage_bytes_left: u64,
    /// Where the answer holds.
    pub at: AtView,
}

impl AccountAnswer {
    /// The answer about `account`.
    pub fn new(account: AccountId, shard: ShardId, view: &AccountView) -> Self {
        Self {
            account,
            nonce: view.nonce,
            public_key: Hex(view.public_key),
            region: account.region(),
            quota_left: view.quota_left,
            storage_bytes_left: view.storage_bytes_left,
            at: AtView::new(shard, view.at),
        }
    }
}

/// An account's balance of one asset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct BalanceAnswer {
    /// The account.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// The asset.
    #[schema(value_type = String)]
    pub asset: AssetId,
    /// Smallest units; zero where there is none.
    #[schema(value_type = String)]
    pub balance: Amount,
    /// Where the answer holds.
    pub at: AtView,
}

/// A key's value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ValueAnswer {
    /// Whose namespace.
    #[schema(value_type = String)]
    pub namespace: AccountId,
    /// The key, where it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The key.
    pub key_hex: String,
    /// The value, where it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value.
    pub value_hex: String,
    /// Where the answer holds.
    pub at: AtView,
}

impl ValueAnswer {
    /// The answer about a key that has a value.
    pub fn new(namespace: AccountId, key: &[u8], value: &[u8], at: AtView) -> Self {
        Self {
            namespace,
            key: text(key),
            key_hex: hex::encode(key),
            value: text(value),
            value_hex: hex::encode(value),
            at,
        }
    }
}

/// One of an account's transactions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct PlacedTransaction {
    /// The transaction.
    #[schema(value_type = String)]
    pub id: TxId,
    /// Its block's height.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Its position among the block's receipts.
    pub index: u32,
}

/// A page of an account's transactions, newest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct TransactionsPage {
    /// The transactions.
    pub transactions: Vec<PlacedTransaction>,
    /// Give as `before` for the next page; none on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Where the answer holds.
    pub at: AtView,
}

/// How far a lane is listed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct CursorView {
    /// Batches listed so far.
    pub next_seq: u64,
    /// Digest of the last listed batch; zeros where none is.
    #[schema(value_type = String)]
    pub tip: BatchDigest,
}

/// A claim on execution.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ClaimView {
    /// Executed height.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Result root there.
    #[schema(value_type = String)]
    pub root: Hash,
}

/// A block's header.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct HeaderView {
    /// Protocol version.
    pub version: u16,
    /// The chain.
    #[schema(value_type = String)]
    pub chain: ChainId,
    /// The shard.
    #[schema(value_type = u32)]
    pub shard: ShardId,
    /// The epoch.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// The view it was proposed in.
    #[schema(value_type = u64)]
    pub view: View,
    /// The height.
    #[schema(value_type = u64)]
    pub height: Height,
    /// The parent's digest.
    #[schema(value_type = String)]
    pub parent: BlockDigest,
    /// The parent's view.
    #[schema(value_type = u64)]
    pub parent_view: View,
    /// The view's leader.
    #[schema(value_type = u16)]
    pub proposer: ValidatorIndex,
    /// Unix ms.
    pub time_ms: u64,
    /// Root over the payload.
    #[schema(value_type = String)]
    pub payload_root: Hash,
    /// One per lane.
    pub cursors: Vec<CursorView>,
    /// Transactions listed.
    pub transactions: u32,
    /// Declared work of these.
    pub declared_work: u64,
    /// One bit per load window, the newest lowest, as hex digits.
    pub load_history_hex: String,
    /// Hash of the committee.
    #[schema(value_type = String)]
    pub validator_set: Hash,
    /// Hash of the next epoch's committee.
    #[schema(value_type = String)]
    pub next_validator_set: Hash,
    /// Hash of the chain parameters.
    #[schema(value_type = String)]
    pub parameters: Hash,
    /// Hash of the shard map.
    #[schema(value_type = String)]
    pub shard_map: Hash,
    /// Execution claimed.
    pub result: ClaimView,
    /// State claimed; none while the chain makes no state roots.
    pub state: Option<ClaimView>,
}

impl From<&Header> for HeaderView {
    fn from(header: &Header) -> Self {
        Self {
            version: header.version,
            chain: header.chain,
            shard: header.shard,
            epoch: header.epoch,
            view: header.view,
            height: header.height,
            parent: header.parent,
            parent_view: header.parent_view,
            proposer: header.proposer,
            time_ms: header.time_ms,
            payload_root: header.payload_root,
            cursors: header.cursors.iter().map(|c| CursorView { next_seq: c.next_seq, tip: c.tip }).collect(),
            transactions: header.transactions,
            declared_work: header.declared_work,
            load_history_hex: format!("{:016x}", header.load_history),
            validator_set: header.validator_set,
            next_validator_set: header.next_validator_set,
            parameters: header.parameters,
            shard_map: header.shard_map,
            result: ClaimView { height: header.result.height, root: header.result.root },
            state: match header.state {
                StateClaim::NoneYet => None,
                StateClaim::Rooted { height, root, .. } => Some(ClaimView { height, root }),
            },
        }
    }
}

/// A batch that a block lists.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct BatchRef {
    /// The lane.
    #[schema(value_type = u16)]
    pub lane: ValidatorIndex,
    /// The batch.
    #[schema(value_type = String)]
    pub digest: BatchDigest,
}

/// A final, executed block.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct BlockAnswer {
    /// The header's digest.
    #[schema(value_type = String)]
    pub digest: BlockDigest,
    /// The header.
    pub header: HeaderView,
    /// Receipts that it has; page through them at `/v1/blocks/{block}/receipts`.
    pub receipts: usize,
    /// Inline transactions.
    pub inline: usize,
    /// The batches it lists, in order.
    pub batches: Vec<BatchRef>,
    /// Merkle root over its receipts.
    #[schema(value_type = String)]
    pub receipts_root: Hash,
    /// Hash of its state changes.
    #[schema(value_type = String)]
    pub diff_root: Hash,
    /// With `proof=1`: canonical bytes of header and inline transactions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_hex: Option<String>,
    /// With `proof=1`: canonical bytes of the proof that it is final, where this node has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof_hex: Option<String>,
    /// The block's own height and result root.
    pub at: AtView,
}

impl BlockAnswer {
    /// The answer about a block, with its proof on demand.
    pub fn new(view: &BlockView, with_proof: bool) -> Self {
        let header = &view.block.header;
        let at = At { height: header.height, root: view.result_root };
        Self {
            digest: view.digest,
            header: header.into(),
            receipts: view.receipts.len(),
            inline: view.block.inline.len(),
            batches: view.batches.iter().map(|(lane, digest)| BatchRef { lane: *lane, digest: *digest }).collect(),
            receipts_root: view.link.receipts,
            diff_root: view.link.diff,
            block_hex: with_proof.then(|| hex::encode(encode(&view.block))),
            proof_hex: view.proof.as_ref().filter(|_| with_proof).map(|proof| hex::encode(encode(proof))),
            at: AtView::new(header.shard, at),
        }
    }
}

/// A page of a block's receipts, in order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ReceiptsPage {
    /// The receipts.
    pub receipts: Vec<ReceiptView>,
    /// Give as `after` for the next page; none on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The block's own height and result root.
    pub at: AtView,
}

/// A member of the committee.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ValidatorView {
    /// Its name.
    pub name: String,
    /// Signs votes and batches.
    #[schema(value_type = String)]
    pub validator_key: Hex<32>,
    /// Proves the node's identity.
    #[schema(value_type = String)]
    pub node_key: Hex<32>,
    /// Home region's byte.
    pub region: u8,
}

/// The chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ChainAnswer {
    /// Hash of the genesis.
    #[schema(value_type = String)]
    pub chain: ChainId,
    /// Its name.
    pub name: String,
    /// Protocol version at the start.
    pub version: u16,
    /// The genesis block's time, Unix ms.
    pub time_ms: u64,
    /// The first committee.
    pub validators: Vec<ValidatorView>,
    /// The parameters.
    #[schema(value_type = Object)]
    pub parameters: rustorium_types::Parameters,
    /// Accounts that existed from the start.
    pub genesis_accounts: usize,
    /// Where the node stands.
    pub at: AtView,
}

impl ChainAnswer {
    /// The answer about the chain of `genesis`.
    pub fn new(chain: ChainId, name: &str, genesis: &Genesis, at: AtView) -> Self {
        let validators = genesis.validators.iter().map(|v| ValidatorView {
            name: String::from_utf8_lossy(v.name.as_slice()).into_owned(),
            validator_key: Hex(v.validator_key),
            node_key: Hex(v.node_key),
            region: v.region,
        });
        Self {
            chain,
            name: name.to_owned(),
            version: genesis.version,
            time_ms: genesis.time_ms,
            validators: validators.collect(),
            parameters: genesis.parameters.clone(),
            genesis_accounts: genesis.accounts.len(),
            at,
        }
    }
}

/// A node's condition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct StatusAnswer {
    /// The chain.
    #[schema(value_type = String)]
    pub chain: ChainId,
    /// The node's name.
    pub node: String,
    /// Its position in the committee.
    #[schema(value_type = Option<u16>)]
    pub validator: Option<ValidatorIndex>,
    /// The build's version.
    pub version: String,
    /// Newest final height.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Current view.
    #[schema(value_type = u64)]
    pub view: View,
    /// Current epoch.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// The newest claim of a final header.
    pub claimed: ClaimView,
    /// Peers connected.
    pub peers_up: usize,
    /// Peers of the committee, without this node.
    pub peers: usize,
    /// Transactions in the pool.
    pub pool_transactions: usize,
    /// Their bytes.
    pub pool_bytes: usize,
    /// `vote` or `os`.
    pub durability: &'static str,
    /// Synced and a quorum seen.
    pub ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_ready_because: Option<String>,
    /// Where the node stands: newest executed height and root.
    pub at: AtView,
}

impl StatusAnswer {
    /// The answer about a node.
    pub fn new(chain: ChainId, shard: ShardId, status: Status) -> Self {
        Self {
            chain,
            node: status.node,
            validator: status.validator,
            version: status.version,
            height: status.height,
            view: status.view,
            epoch: status.epoch,
            claimed: ClaimView { height: status.claimed.height, root: status.claimed.root },
            peers_up: status.peers_up,
            peers: status.peers,
            pool_transactions: status.pool_transactions,
            pool_bytes: status.pool_bytes,
            durability: status.durability,
            ready: status.ready.is_ok(),
            not_ready_because: status.ready.err(),
            at: AtView::new(shard, status.executed),
        }
    }
}

/// Whether a node lives and serves, with reasons.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct HealthAnswer {
    /// `ok` or `degraded`.
    pub status: &'static str,
    /// What is wrong; empty where nothing is.
    pub reasons: Vec<String>,
}
