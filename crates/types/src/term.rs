//! Terms: the facts that hold in one epoch of protocol version 2, and the proofs that lead from one epoch to the next.
//!
//! *Invariants:* a term differs from the one before it by the one change that it names; the bytes of a transition of
//! version 1 are those of its `EpochChange`.

use crate::address::AccountId;
use crate::codec::BoundedBytes;
use crate::consensus::{BlockProof, Header};
use crate::genesis::{Parameters, ValidatorSet};
use crate::ids::{Epoch, Hash, ShardId};
use crate::limits::PARAMETERS_BYTES_MAX;
use crate::proof::{EpochChange, ReadProof};
use crate::rules::Rules;
use borsh::io::{Read, Result, Write};
use borsh::{BorshDeserialize, BorshSerialize};

/// First two bytes of the encoding of `EpochTransition::First`, where the other two forms have their boundary's version.
const FIRST_TAG: u16 = 0;

/// A shard's accounts, besides the system's (S3). Its hash is `Header::shard_map` from version 2 on.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub struct Charter {
    /// The shard.
    pub shard: ShardId,
    /// The first account id of the shard.
    pub from: AccountId,
    /// The account id above the last one of the shard; `None` if the shard has all ids from `from` on.
    pub to: Option<AccountId>,
    /// Number of changes of the charter so far.
    pub generation: u32,
}

impl Charter {
    /// The charter of the root shard of a chain that has no other.
    pub const ONE_SHARD: Self = Self::whole(ShardId::ROOT);

    /// Returns the charter of a shard that has all accounts.
    pub const fn whole(shard: ShardId) -> Self {
        Self { shard, from: AccountId([0; 32]), to: None, generation: 0 }
    }

    /// Tells if the shard has all accounts.
    pub fn is_whole(&self) -> bool {
        self.from == AccountId::default() && self.to.is_none()
    }

    /// Tells if an account is the shard's.
    pub fn has(&self, account: &AccountId) -> bool {
        *account >= self.from && self.to.is_none_or(|to| *account < to)
    }

    /// S3: tells if the shard executes, serves and proves what belongs to an id: that of an account of its own, or of the
    /// system.
    pub fn serves(&self, id: &AccountId) -> bool {
        self.has(id) || id.is_system()
    }
}

/// The one thing that a boundary changes (S4).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub enum Change {
    /// Nothing.
    #[default]
    None,
    /// The protocol version, with the parameters and operators that it begins with.
    Version,
    /// The chain's parameters.
    Parameters,
    /// The operators or their quorum, which the parameters name. All other parameters stay.
    Operators,
    /// The committee.
    Committee,
}

/// The facts that hold in an epoch from version 2 on. The boundary of the epoch before carries the term's hash in
/// `next_validator_set`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Term {
    /// The epoch.
    pub epoch: Epoch,
    /// Protocol version of the epoch's headers.
    pub version: u16,
    /// Hash of the committee.
    pub validators: Hash,
    /// Hash of the chain parameters.
    pub parameters: Hash,
    /// Hash of the shard's charter.
    pub charter: Hash,
    /// Hash of the operators' keys and quorum.
    pub operators: Hash,
    /// Hash of the leaders' policy; zero as long as the chain has none.
    pub leaders: Hash,
    /// The thing that changed since the term before.
    pub change: Change,
}

impl Change {
    /// Returns the change's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Version => "version",
            Self::Parameters => "parameters",
            Self::Operators => "operators",
            Self::Committee => "committee",
        }
    }
}

impl Term {
    /// Checks that this term follows `before` and differs from it by the one change that it names.
    /// Errors: the part that is wrong, for people.
    pub fn check_follows(&self, before: &Self) -> std::result::Result<(), &'static str> {
        let ensure = |holds: bool, part| if holds { Ok(()) } else { Err(part) };
        ensure(self.epoch == before.epoch.next(), "the term is of another epoch")?;
        let version = self.version != before.version;
        let parameters = self.parameters != before.parameters;
        let operators = self.operators != before.operators;
        let validators = self.validators != before.validators;
        let others = (self.charter, self.leaders) != (before.charter, before.leaders);
        ensure(!others, "the term changes the charter or the leaders' policy")?;
        let as_named = match self.change {
            Change::None => !(version || parameters || operators || validators),
            Change::Version => Some(self.version) == before.version.checked_add(1) && !validators,
            Change::Parameters => parameters && !(version || operators || validators),
            // The parameters name the operators, so their hash changes with them.
            Change::Operators => operators && parameters && !(version || validators),
            Change::Committee => validators && !(version || parameters || operators),
        };
        ensure(as_named, "the term changes something else than it names")
    }
}

/// The end of an epoch of version 2 or later, with the next term. A light client, a joining node and a node that was
/// away check it with the old committee.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct TermChange {
    /// The epoch's boundary block, which names the next term by hash.
    pub boundary: Header,
    /// Proof that the boundary is final.
    pub proof: BlockProof,
    /// The next term.
    pub term: Term,
    /// The next epoch's committee.
    pub validators: ValidatorSet,
    /// Bytes of the next epoch's parameters; `None` if they stay.
    pub parameters: Option<BoundedBytes<PARAMETERS_BYTES_MAX>>,
}

/// The end of the last epoch of version 1, with the evidence that the operators activated version 2 (V4).
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct FirstTerm {
    /// The end of the epoch. Its boundary is a plain block of version 1.
    pub change: EpochChange,
    /// The parameters of version 1, whose hash the boundary's header carries. They name the operators.
    pub parameters: Parameters,
    /// Proof, under the boundary's own header, of the values by which the operators activate version 2.
    pub activation: ReadProof,
}

/// The proof of how an epoch ended and of what holds in the next one, by protocol version.
///
/// The encoding begins with the boundary's version, which is the first field of the first two forms below, except that of
/// the first version-2 term, which begins with zero.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EpochTransition {
    /// From an epoch of version 1 to the next one.
    V1(Box<EpochChange>),
    /// From the last epoch of version 1 to the first one of version 2.
    First(Box<FirstTerm>),
    /// From an epoch of version 2 to the next one.
    Term(Box<TermChange>),
}

impl EpochTransition {
    /// Returns the last block of the epoch that ended.
    pub fn boundary(&self) -> &Header {
        match self {
            Self::V1(change) => &change.boundary,
            Self::First(first) => &first.change.boundary,
            Self::Term(change) => &change.boundary,
        }
    }

    /// Returns the proof that the boundary is final.
    pub fn proof(&self) -> &BlockProof {
        match self {
            Self::V1(change) => &change.proof,
            Self::First(first) => &first.change.proof,
            Self::Term(change) => &change.proof,
        }
    }

    /// Returns the next epoch's committee.
    pub fn validators(&self) -> &ValidatorSet {
        match self {
            Self::V1(change) => &change.next,
            Self::First(first) => &first.change.next,
            Self::Term(change) => &change.validators,
        }
    }

    /// Returns the epoch that ended.
    pub fn epoch(&self) -> Epoch {
        self.boundary().epoch
    }

    /// Returns the last block of the epoch that ended, with the proof that it is final.
    pub fn into_boundary(self) -> (Header, BlockProof) {
        match self {
            Self::V1(change) => (change.boundary, change.proof),
            Self::First(first) => (first.change.boundary, first.change.proof),
            Self::Term(change) => (change.boundary, change.proof),
        }
    }
}

impl From<EpochChange> for EpochTransition {
    fn from(change: EpochChange) -> Self {
        Self::V1(Box::new(change))
    }
}

impl From<FirstTerm> for EpochTransition {
    fn from(first: FirstTerm) -> Self {
        Self::First(Box::new(first))
    }
}

impl From<TermChange> for EpochTransition {
    fn from(change: TermChange) -> Self {
        Self::Term(Box::new(change))
    }
}

impl BorshSerialize for EpochTransition {
    fn serialize<W: Write>(&self, writer: &mut W) -> Result<()> {
        match self {
            Self::V1(change) => change.serialize(writer),
            Self::First(first) => (FIRST_TAG, first).serialize(writer),
            Self::Term(change) => change.serialize(writer),
        }
    }
}

impl BorshDeserialize for EpochTransition {
    fn deserialize_reader<R: Read>(reader: &mut R) -> Result<Self> {
        let version = u16::deserialize_reader(reader)?;
        if version == FIRST_TAG {
            return FirstTerm::deserialize_reader(reader).map(|first| Self::First(Box::new(first)));
        }
        let begun = version.to_le_bytes();
        let mut whole = begun.as_slice().chain(reader);
        if version == Rules::V1.version() {
            EpochChange::deserialize_reader(&mut whole).map(|change| Self::V1(Box::new(change)))
        } else {
            TermChange::deserialize_reader(&mut whole).map(|change| Self::Term(Box::new(change)))
        }
    }
}
