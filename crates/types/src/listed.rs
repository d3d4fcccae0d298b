//! Transactions of both versions, as batches, blocks and messages list them.
//!
//! *Invariants:* an encoding tells its form (V15), except beside the lanes, where the block's version tells it.

use crate::address::AccountId;
use crate::codec::BoundedVec;
use crate::ids::{BatchDigest, ChainId, Epoch, ShardId, ValidatorIndex};
use crate::limits::{BATCH_TRANSACTIONS_MAX, INLINE_TRANSACTIONS_MAX};
use crate::rules::Rules;
use crate::transaction::{Signature, Transaction1};
use crate::transaction2::{HEAD_BYTES, Transaction2, is_second};
use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};

/// A transaction in the form of either version.
///
/// Its encoding is the transaction's own (V15). The form of version 2 begins with the version, the kind, the threshold, the
/// number of keys and the tag of the first key. Where these are, the form of version 1 has the version and the first bytes
/// of the chain's id. So bytes are of version 2 if all five are possible, and of version 1 otherwise, whatever version they
/// claim: blocks of version 1 may list transactions that claim another one. Chains of version 1 whose ids begin with a
/// zero, two numbers of 1 to 8 and a zero can't be read so; they are 64 of 2³².
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Transaction {
    /// In the form of version 1.
    V1(Transaction1),
    /// In the form of version 2.
    V2(Transaction2),
}

impl Transaction {
    /// Returns the oldest rules that know the transaction's form.
    pub fn form(&self) -> Rules {
        match self {
            Self::V1(_) => Rules::V1,
            Self::V2(_) => Rules::V2,
        }
    }

    /// Returns the transaction in the form of version 1; `None` if it has another form.
    pub fn first(&self) -> Option<&Transaction1> {
        match self {
            Self::V1(transaction) => Some(transaction),
            Self::V2(_) => None,
        }
    }

    /// Returns the account that pays and acts.
    pub fn sender(&self) -> &AccountId {
        match self {
            Self::V1(transaction) => &transaction.body.sender,
            Self::V2(transaction) => &transaction.body().sender,
        }
    }

    /// Returns the sender's nonce.
    pub fn nonce(&self) -> u64 {
        match self {
            Self::V1(transaction) => transaction.body.nonce,
            Self::V2(transaction) => transaction.body().nonce,
        }
    }

    /// Returns the header time from which the transaction is skipped, Unix ms.
    pub fn expires_at_ms(&self) -> u64 {
        match self {
            Self::V1(transaction) => transaction.body.expires_at_ms,
            Self::V2(transaction) => transaction.body().expires_at_ms,
        }
    }

    /// Returns the most work units that the transaction may use.
    pub fn work_limit(&self) -> u64 {
        match self {
            Self::V1(transaction) => transaction.body.work_limit,
            Self::V2(transaction) => transaction.body().work_limit,
        }
    }

    /// Returns the number of signatures, each of which is checked.
    pub fn signatures(&self) -> usize {
        match self {
            Self::V1(_) => 1,
            Self::V2(transaction) => transaction.signatures().len(),
        }
    }

    /// Tells if all operations are among those that the rules know, in the transaction's form.
    pub fn is_known_to(&self, rules: Rules) -> bool {
        match self {
            Self::V1(transaction) => transaction.body.data.iter().all(|operation| rules.know(operation)),
            Self::V2(_) => rules >= Rules::V2,
        }
    }

    /// Tells if the transaction names another chain than this one. Only the form of version 1 names any.
    pub fn names_other(&self, chain: &ChainId) -> bool {
        match self {
            Self::V1(transaction) => transaction.body.chain != *chain,
            Self::V2(_) => false,
        }
    }
}

impl From<Transaction1> for Transaction {
    fn from(transaction: Transaction1) -> Self {
        Self::V1(transaction)
    }
}

impl From<Transaction2> for Transaction {
    fn from(transaction: Transaction2) -> Self {
        Self::V2(transaction)
    }
}

impl BorshSerialize for Transaction {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        match self {
            Self::V1(transaction) => transaction.serialize(writer),
            Self::V2(transaction) => transaction.serialize(writer),
        }
    }
}

impl BorshDeserialize for Transaction {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let head = <[u8; HEAD_BYTES]>::deserialize_reader(reader)?;
        let mut whole = head.as_slice().chain(reader);
        if is_second(&head) {
            Transaction2::deserialize_reader(&mut whole).map(Self::V2)
        } else {
            Transaction1::deserialize_reader(&mut whole).map(Self::V1)
        }
    }
}

/// The transactions that a block lists beside the lanes.
pub type Inline = BoundedVec<Transaction, INLINE_TRANSACTIONS_MAX>;

/// Reads the transactions beside the lanes of a block of this version. A block of version 1 may list transactions of any
/// chain there, whose bytes could be mistaken for the form of version 2, and has none in that form.
pub(crate) fn read_inline<R: Read>(version: u16, reader: &mut R) -> IoResult<Inline> {
    if version != Rules::V1.version() {
        return Inline::deserialize_reader(reader);
    }
    let first = BoundedVec::<Transaction1, INLINE_TRANSACTIONS_MAX>::deserialize_reader(reader)?;
    let listed = first.into_vec().into_iter().map(Transaction::V1).collect();
    BoundedVec::new(listed).map_err(|error| Error::new(ErrorKind::InvalidData, error.to_string()))
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
    /// The validator that owns the lane.
    pub author: ValidatorIndex,
    /// Position in the lane; the first is 0.
    pub seq: u64,
    /// Digest of the previous batch; zero for the first.
    pub previous: BatchDigest,
    /// The transactions, in order.
    pub transactions: BoundedVec<Transaction, BATCH_TRANSACTIONS_MAX>,
}

impl BatchBody {
    /// Returns the number of signatures of all transactions.
    pub fn signatures(&self) -> usize {
        self.transactions.iter().map(Transaction::signatures).sum()
    }
}

/// A signed batch.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Batch {
    /// The part that the batch's digest covers.
    pub body: BatchBody,
    /// The author's Ed25519 signature over domain string and digest.
    pub signature: Signature,
}
