//! What a checked proof shows, for people: the readable part of proof files.

use super::answers::{ReceiptView, TransactionView};
use super::chain::HeaderView;
use super::state::{ClaimedBy, ShownView};
use rustorium_execution::{GenesisState, Shown, header_of, subject_key};
use rustorium_types::{BoundedBytes, ChainId, DecodeError, Epoch, Hash, Height, LeafValue, Proof, ShardId, Subject};
use serde::Serialize;

/// What a proof shows, and who vouches for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FactsView {
    /// `read`, `receipt`, `transaction` or `block`.
    pub kind: &'static str,
    /// The chain.
    pub chain: ChainId,
    /// The shard.
    pub shard: ShardId,
    /// The epoch whose committee vouches for it.
    pub epoch: Epoch,
    /// The final header on which all of it hangs.
    pub claimed_by: ClaimedBy,
    /// What it shows.
    #[serde(flatten)]
    pub facts: KindFacts,
}

/// What is shown, by kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
pub enum KindFacts {
    /// What subjects hold after a height.
    Read {
        /// The height.
        height: Height,
        /// The state root there.
        state_root: Hash,
        /// What each holds.
        items: Vec<ShownView>,
    },
    /// What came of a transaction, and in full where it is there.
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

impl FactsView {
    /// What subjects hold at height 0, which the genesis alone shows: no root is certified for it.
    ///
    /// # Errors
    /// [`DecodeError`]: the genesis gives a leaf what none can hold.
    pub fn of_genesis(chain: ChainId, genesis: &GenesisState, subjects: &[Subject]) -> Result<Self, DecodeError> {
        let shown = |subject: &Subject| {
            let value = genesis.value(&subject_key(subject)).map(<[u8]>::to_vec);
            let leaf: LeafValue = value.map(BoundedBytes::new).transpose()?;
            ShownView::new(subject, &leaf)
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

    /// What `proof` shows, of which `shown` was found by checking it.
    ///
    /// # Errors
    /// [`DecodeError`]: the state holds bytes that mean nothing to this version.
    pub fn new(chain: ChainId, proof: &Proof, shown: &Shown) -> Result<Self, DecodeError> {
        let header = header_of(proof);
        let facts = match proof {
            Proof::Read(read) => {
                let items = read.entries.iter().map(|(subject, value)| ShownView::new(subject, value));
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
