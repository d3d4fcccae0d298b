//! Reasons why admission refuses a transaction: typed, with the stable codes of the API.

use rustorium_types::TxId;
use thiserror::Error;

/// Time after which a client may try a full pool again.
const BUSY_RETRY_MS: u64 = 100;

/// Admission refused a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// The transaction's expiry has passed, by the chain's own time.
    #[error(
        "the transaction expired at {expires_at_ms}, the chain is at {chain_ms}; sign it again with a later expiry"
    )]
    Expired {
        /// The transaction's expiry, Unix ms.
        expires_at_ms: u64,
        /// Time of the newest executed header, Unix ms.
        chain_ms: u64,
    },
    /// The transaction's expiry is too far ahead.
    #[error("the expiry is {ahead_ms} ms ahead, {limit_ms} are allowed; sign it again with an earlier expiry")]
    ExpiryTooFar {
        /// Distance from now.
        ahead_ms: u64,
        /// The chain's limit.
        limit_ms: u64,
    },
    /// The sender has no account.
    #[error("the sender has no account; have it created by a sponsor first")]
    UnknownAccount,
    /// No account's transactions are executed now (V43).
    #[error("all accounts are paused until {until_ms} (Unix ms); sign it again then")]
    Paused {
        /// Header time from which accounts go on, Unix ms.
        until_ms: u64,
    },
    /// The authority is not the account's.
    #[error("the sender's account has other keys, or asks for another number of them; sign with those that it has now")]
    WrongKey,
    /// A recovery of the account waits that its keys can't cancel.
    #[error("the account is frozen until {until_ms}, when its recovery takes effect; sign with its new keys then")]
    Frozen {
        /// Header time of the recovery's effect, Unix ms.
        until_ms: u64,
    },
    /// The nonce was used.
    #[error("the nonce {nonce} was used before; the next is {expected}")]
    NonceUsed {
        /// The transaction's nonce.
        nonce: u64,
        /// The account's next nonce.
        expected: u64,
    },
    /// Another transaction with this nonce is waiting.
    #[error("the transaction {by} already waits with nonce {nonce}; use a later nonce or wait for its outcome")]
    NonceTaken {
        /// The transaction's nonce.
        nonce: u64,
        /// The transaction that waits with this nonce.
        by: TxId,
    },
    /// Too many nonces are missing before this one.
    #[error("the nonce {nonce} is too far ahead; the next missing one is {expected}: send that first")]
    NonceTooFar {
        /// The transaction's nonce.
        nonce: u64,
        /// The first missing nonce.
        expected: u64,
    },
    /// The pool is full.
    #[error("the pool is full; send the same bytes again later, or to another validator")]
    PoolFull,
    /// Too many transactions of the sender are waiting.
    #[error(
        "the sender has {limit} waiting transactions, its maximum while the pool is so full; wait until some are final"
    )]
    SenderFull {
        /// The limit.
        limit: usize,
    },
    /// Too many transactions of accounts of the sender's sponsor are waiting.
    #[error(
        "accounts of the sender's sponsor have {limit} waiting transactions, their maximum; wait until some are final"
    )]
    SponsorFull {
        /// The limit.
        limit: usize,
    },
    /// The sender's room is full, and its first transaction waits for quota.
    #[error(
        "the sender's transactions wait for the quota of its account or of its sponsor, and fill its room; send the same \
         bytes again after {wait_ms} ms"
    )]
    QuotaTooSmall {
        /// Time until there is enough for the first of them, if nobody else draws from the same sponsor.
        wait_ms: u64,
    },
    /// The transaction causes more history than any quota pays for.
    #[error("the transaction causes {bytes} bytes of history, {max} are allowed; split it")]
    TooMuchHistory {
        /// Bytes of history.
        bytes: u64,
        /// Allowed bytes.
        max: u64,
    },
    /// The declared work can't suffice.
    #[error("the work limit {limit} is below the {needed} that the operations cost at least; sign it again with more")]
    WorkLimitTooLow {
        /// The declared work.
        limit: u64,
        /// The work that is needed.
        needed: u64,
    },
    /// The declared work is more than a batch may hold.
    #[error("the work limit {limit} is above the maximum of {max}; lower it or split the transaction")]
    WorkLimitTooHigh {
        /// The declared work.
        limit: u64,
        /// The largest allowed work.
        max: u64,
    },
    /// The transaction has too many bytes.
    #[error("the transaction has {bytes} bytes, {max} are allowed; split it")]
    TooLarge {
        /// Encoded bytes.
        bytes: usize,
        /// Allowed bytes.
        max: usize,
    },
    /// The transaction has more signatures than a batch may ask for.
    #[error(
        "the transaction has {signatures} signatures, and this chain allows {max} in a batch; use an authority with a lower threshold"
    )]
    TooManySignatures {
        /// Number of signatures.
        signatures: usize,
        /// Largest number.
        max: usize,
    },
    /// The chain's rules don't know the transaction's form.
    #[error(
        "the transaction has the form of a later protocol version than the chain's, {version}; sign it in that form"
    )]
    LaterForm {
        /// The chain's version.
        version: u16,
    },
    /// The chain's rules don't know an operation.
    #[error(
        "an operation is of a later protocol version than the chain's, {version}; leave it out, or its proof of possession"
    )]
    LaterOperation {
        /// The chain's version.
        version: u16,
    },
}

impl Refused {
    /// Returns the stable code of the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::ExpiryTooFar { .. } => "expiry-too-far",
            Self::UnknownAccount => "unknown-account",
            Self::Paused { .. } => "paused",
            Self::WrongKey => "wrong-key",
            Self::Frozen { .. } => "frozen",
            Self::NonceUsed { .. } => "nonce-used",
            Self::NonceTaken { .. } => "nonce-taken",
            Self::NonceTooFar { .. } => "nonce-too-far",
            Self::PoolFull => "pool-full",
            Self::SenderFull { .. } => "sender-full",
            Self::SponsorFull { .. } => "sponsor-full",
            Self::QuotaTooSmall { .. } => "quota-too-small",
            Self::TooMuchHistory { .. } => "too-much-history",
            Self::WorkLimitTooLow { .. } => "work-limit-too-low",
            Self::WorkLimitTooHigh { .. } => "work-limit-too-high",
            Self::TooLarge { .. } => "too-large",
            Self::TooManySignatures { .. } => "too-many-signatures",
            Self::LaterForm { .. } | Self::LaterOperation { .. } => "wrong-version",
        }
    }

    /// Tells if the same bytes may be accepted a little later. The API answers such refusals as busy.
    pub fn is_busy(&self) -> bool {
        self.retry_after_ms().is_some()
    }

    /// Returns the time after which the same bytes may be accepted; `None` if they never are.
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::PoolFull | Self::SenderFull { .. } | Self::SponsorFull { .. } => Some(BUSY_RETRY_MS),
            Self::QuotaTooSmall { wait_ms } => Some((*wait_ms).max(BUSY_RETRY_MS)),
            _ => None,
        }
    }
}
