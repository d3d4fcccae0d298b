//! Facts that a checked proof shows: the readable part of proof files, and the light client's answer.

use super::answers::{ReceiptView, TransactionView};
use super::chain::HeaderView;
use super::state::{ClaimedBy, ReadAnswer};
use rustorium_execution::{CheckedProof, GenesisState, Signers, header_of, subject_key};
use rustorium_types::{BoundedBytes, ChainId, DecodeError, Epoch, Hash, Height, LeafValue, Proof, ShardId, Subject};
use serde::Serialize;

/// Facts that a proof shows, and the header that vouches for them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FactsView {
    /// `read`, `receipt`, `transaction` or `block`.
    pub kind: &'static str,
    /// The chain.
    pub chain: ChainId,
    /// The shard.
    pub shard: ShardId,
    /// The epoch whose committee signed the header.
    pub epoch: Epoch,
    /// The final header that everything else follows from.
    pub claimed_by: ClaimedBy,
    /// The facts.
    #[serde(flatten)]
    pub facts: KindFacts,
}

/// Facts by kind of proof.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
pub enum KindFacts {
    /// Values of subjects after a height.
    Read {
        /// The height.
        height: Height,
        /// The state root there.
        state_root: Hash,
        /// The value of each.
        items: Vec<ReadAnswer>,
    },
    /// A transaction's receipt, and the transaction if the proof contains it.
    Receipt {
        /// The receipt.
        receipt: Box<ReceiptView>,
        /// The transaction.
        #[serde(skip_serializing_if = "Option::is_none")]
        transaction: Option<Box<TransactionView>>,
    },
    /// A block's header.
    Block {
        /// The header.
        header: Box<HeaderView>,
    },
}

/// The validators whose signatures made a checked header final. It is no part of the facts: other signatures of the same
/// committee show the same.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SignersView {
    /// A label of each, in the committee's order.
    pub labels: Vec<String>,
    /// Number of validators in the committee.
    pub validators: usize,
    /// True if the validators' owners signed instead of the validators.
    pub by_owners: bool,
}

impl From<Signers> for SignersView {
    fn from(Signers { labels, validators, by_owners }: Signers) -> Self {
        Self { labels, validators, by_owners }
    }
}

impl FactsView {
    /// Returns the values of subjects at height 0. The genesis alone shows them: no root is certified for it.
    ///
    /// # Errors
    /// [`DecodeError`]: the genesis gives a leaf a value that none can hold.
    pub fn of_genesis(chain: ChainId, genesis: &GenesisState, subjects: &[Subject]) -> Result<Self, DecodeError> {
        let shown = |subject: &Subject| {
            let value = genesis.value(&subject_key(subject)).map(<[u8]>::to_vec);
            let leaf: LeafValue = value.map(BoundedBytes::new).transpose()?;
            ReadAnswer::new(subject, &leaf)
        };
        let items = subjects.iter().map(shown).collect::<Result<_, _>>()?;
        let header = &genesis.header;
        Ok(Self {
            kind: "read",
            chain,
            shard: header.shard,
            epoch: header.epoch,
            claimed_by: ClaimedBy { height: header.height, digest: genesis.digest, time_ms: header.time_ms },
            facts: KindFacts::Read { height: header.height, state_root: Hash::ZERO, items },
        })
    }

    /// Returns the facts of `proof`. `shown` is the result of checking it.
    ///
    /// # Errors
    /// [`DecodeError`]: the state holds bytes that this version doesn't know.
    pub fn new(chain: ChainId, proof: &Proof, shown: &CheckedProof) -> Result<Self, DecodeError> {
        let header = header_of(proof);
        let facts = match proof {
            Proof::Read(read) => {
                let items = read.entries.iter().map(|(subject, value)| ReadAnswer::new(subject, value));
                let (height, state_root) = shown.read.map(|read| (read.height, read.root)).unwrap_or_default();
                KindFacts::Read { height, state_root, items: items.collect::<Result<_, _>>()? }
            }
            Proof::Receipt(proof) => {
                KindFacts::Receipt { receipt: Box::new((&proof.receipt).into()), transaction: None }
            }
            Proof::Transaction(proof) => KindFacts::Receipt {
                receipt: Box::new((&proof.receipt.receipt).into()),
                transaction: Some(Box::new((&proof.transaction).into())),
            },
            Proof::Block(proof) => KindFacts::Block { header: Box::new((&proof.header).into()) },
        };
        Ok(Self {
            kind: proof.kind(),
            // The genesis header, which is before any chain, names none.
            chain,
            shard: header.shard,
            epoch: header.epoch,
            claimed_by: ClaimedBy { height: header.height, digest: shown.digest, time_ms: header.time_ms },
            facts,
        })
    }
}
