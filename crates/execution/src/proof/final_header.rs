//! The trust of a verifier: the committee that it believes, and the checks of headers that this committee made final.

use super::activation::check_first_term;
use super::refused::ProofRefused;
use crate::genesis::{genesis as genesis_state, hashes, shard_map};
use crate::terms::{check_term_change, first_term};
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_crypto::{block_digest, operators_hash, set_hash, verify_finalization};
use rustorium_types::limits::VALIDATORS_MAX;
use rustorium_types::{
    BlockDigest, BlockProof, ChainId, Change, Charter, DecodeError, End, Epoch, EpochTransition, Genesis, Hash, Header,
    Height, Parameters, PublicKey, Rules, ShardId, Term, ValidatorSet, VoteKind, decode, encode,
};

/// The facts that a verifier takes for granted: a chain, a final block of it, and the committee of the epoch above that
/// block.
///
/// Its encoding is a checkpoint. The owner vouches for it: nothing in it proves that it is true.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Trust {
    /// The chain.
    pub chain: ChainId,
    /// The protocol version of its headers.
    pub version: u16,
    /// Hash of the chain parameters.
    pub parameters: Hash,
    /// Hash of the shard map.
    pub shard_map: Hash,
    /// The committee's epoch.
    pub epoch: Epoch,
    /// Hash of the committee.
    pub validator_set: Hash,
    /// The committee.
    pub validators: ValidatorSet,
    /// Height of the trusted block: genesis, or the last block of the epoch before.
    pub height: Height,
    /// Digest of the trusted block.
    pub digest: BlockDigest,
    /// Time of the trusted block, Unix ms.
    pub time_ms: u64,
    /// Age of an epoch at which its end is due. `None` in checkpoints of earlier releases; then epochs count as short.
    /// The field is the last of a checkpoint, and missing there if it is unknown.
    #[borsh(skip)]
    pub epoch_ms: Option<u64>,
    /// The charter of the shard that the committee serves. A checkpoint names it behind the other fields, unless the chain
    /// has one shard.
    #[borsh(skip)]
    pub charter: Charter,
    /// Hash of the operators' keys and quorum, from version 2 on; zero before. In checkpoints it stands behind the other
    /// fields.
    #[borsh(skip)]
    pub operators: Hash,
    /// Hash of the leaders' policy, from version 2 on; zero before, and as long as the chain has none.
    #[borsh(skip)]
    pub leaders: Hash,
}

/// First bytes of a checkpoint of version 2. One of version 1 begins with the chain's id.
const CHECKPOINT_2: &[u8] = b"rscheck2";

impl Trust {
    /// Largest number of bytes of an encoded trust: its hashes and numbers, and the largest number of validators.
    pub const BYTES_MAX: usize = 256 + VALIDATORS_MAX * 512;

    /// Returns the trust in the root shard that follows from a genesis.
    pub fn genesis(genesis: &Genesis) -> Self {
        Self::of_shard(genesis, ShardId::ROOT)
    }

    /// Returns the trust that a header must meet: that in its shard, or in the root shard if the chain doesn't have it.
    pub(super) fn for_header(genesis: &Genesis, header: &Header) -> Self {
        Self::of_shard(genesis, if genesis.has_shard(header.shard) { header.shard } else { ShardId::ROOT })
    }

    /// Returns the trust in a shard that follows from a genesis. A shard that the genesis doesn't have has no committee, so
    /// that nothing is final in it.
    pub fn of_shard(genesis: &Genesis, shard: ShardId) -> Self {
        let hashes = hashes(genesis, shard);
        let terms = genesis.rules().has_terms();
        Self {
            chain: hashes.chain,
            version: genesis.version,
            parameters: hashes.parameters,
            shard_map: hashes.shard_map,
            epoch: Epoch(0),
            validator_set: hashes.validator_set,
            validators: genesis.committee(shard),
            height: Height(0),
            digest: genesis_state(genesis, shard).digest,
            time_ms: genesis.time_ms,
            epoch_ms: Some(genesis.parameters.epoch_ms),
            charter: genesis.charter(shard),
            operators: if terms { operators_hash(&genesis.parameters) } else { Hash::ZERO },
            leaders: Hash::ZERO,
        }
    }

    /// Returns true if the trusted block leads to an epoch whose boundary names a term.
    pub fn has_term(&self) -> bool {
        Rules::of(self.version).unwrap_or(Rules::NEWEST).has_terms()
    }

    /// Returns the term of the committee. Only from version 2 on is it named by a header.
    fn term(&self) -> Term {
        Term {
            epoch: self.epoch,
            version: self.version,
            validators: self.validator_set,
            parameters: self.parameters,
            charter: self.shard_map,
            operators: self.operators,
            leaders: self.leaders,
            change: Change::None,
        }
    }

    /// Encodes a checkpoint.
    pub fn to_checkpoint(&self) -> Vec<u8> {
        if self.has_term() {
            let known = (self, self.operators, self.leaders, self.epoch_ms.unwrap_or_default());
            return [CHECKPOINT_2, &with_charter(encode(&known), &self.charter)].concat();
        }
        let mut bytes = encode(self);
        self.epoch_ms.into_iter().for_each(|epoch_ms| bytes.extend(encode(&epoch_ms)));
        bytes
    }

    /// Decodes a checkpoint, also one of an earlier release.
    ///
    /// # Errors
    /// [`DecodeError`]: the bytes are no checkpoint, or its committee or charter is not the one that it names.
    pub fn from_checkpoint(bytes: &[u8]) -> Result<Self, DecodeError> {
        if let Some(second) = bytes.strip_prefix(CHECKPOINT_2) {
            let (known, charter) = split_charter::<(Self, Hash, Hash, u64)>(second, Self::BYTES_MAX)?;
            let (trust, operators, leaders, epoch_ms) = known;
            return Self { epoch_ms: Some(epoch_ms), operators, leaders, charter, ..trust }.checked(true);
        }
        let trust = match decode::<(Self, u64)>(bytes, Self::BYTES_MAX) {
            Ok((trust, epoch_ms)) => Self { epoch_ms: Some(epoch_ms), ..trust },
            Err(_) => decode(bytes, Self::BYTES_MAX)?,
        };
        trust.checked(false)
    }

    /// Checks the parts that can be checked of a trust that somebody vouches for. `terms` tells if its form is that of
    /// version 2.
    pub(super) fn checked(self, terms: bool) -> Result<Self, DecodeError> {
        let trust = if terms { self } else { Self { charter: Charter::ONE_SHARD, ..self } };
        let refuse = |why: &str| Err(DecodeError::Malformed(why.to_owned()));
        let Some(rules) = Rules::of(trust.version) else {
            return refuse("the checkpoint was made by a newer release");
        };
        if rules.has_terms() != terms {
            return refuse("the checkpoint has the form of another protocol version, such as unreleased builds made");
        }
        if trust.shard_map != shard_map(rules, &trust.charter) {
            return refuse("the checkpoint's shard has other accounts than the checkpoint names");
        }
        let named = set_hash(&trust.validators) == trust.validator_set;
        if !named {
            return refuse("the checkpoint's committee is not the one that it names");
        }
        Ok(trust)
    }

    /// Returns the trust after the end of this epoch, with the next committee.
    ///
    /// # Errors
    /// [`ProofRefused`].
    pub fn follow(&self, change: &EpochTransition) -> Result<Self, ProofRefused> {
        let boundary = change.boundary();
        if !boundary.ends_epoch() {
            return Err(ProofRefused::NotAnEnd(boundary.height));
        }
        if boundary.end != End::Boundary {
            return Err(ProofRefused::NotTheFirstEnd(boundary.height));
        }
        if self.has_term() != matches!(change, EpochTransition::Term(_)) {
            return Err(ProofRefused::OtherForm(boundary.epoch));
        }
        let (term, parameters) = match change {
            EpochTransition::V1(shown) => {
                check_set(&shown.next, boundary)?;
                let (epoch, validators) = (boundary.epoch.next(), boundary.next_validator_set);
                (Term { epoch, validators, ..self.term() }, None)
            }
            EpochTransition::First(first) => {
                check_set(&first.change.next, boundary)?;
                let parameters = check_first_term(first)?.parameters;
                (first_term(first, &parameters), Some(parameters))
            }
            EpochTransition::Term(shown) => {
                let parameters = check_term_change(&self.term(), shown).map_err(ProofRefused::OtherTerm)?;
                (shown.term, parameters)
            }
        };
        let digest = self.check_final(boundary, change.proof())?;
        Ok(self.after(change, digest, &term, parameters.as_ref()))
    }

    /// Returns the trust in the committee of a term that begins after this checked change.
    fn after(
        &self,
        change: &EpochTransition,
        digest: BlockDigest,
        term: &Term,
        parameters: Option<&Parameters>,
    ) -> Self {
        let boundary = change.boundary();
        Self {
            chain: self.chain,
            version: term.version,
            parameters: term.parameters,
            shard_map: term.charter,
            epoch: term.epoch,
            validator_set: term.validators,
            validators: change.validators().clone(),
            height: boundary.height,
            digest,
            time_ms: boundary.time_ms,
            epoch_ms: parameters.map(|new| new.epoch_ms).or(self.epoch_ms),
            charter: self.charter,
            operators: term.operators,
            leaders: term.leaders,
        }
    }

    /// Checks that `header` is final on the chain, in the epoch of this committee. Returns its digest.
    ///
    /// # Errors
    /// [`ProofRefused`].
    pub fn check_final(&self, header: &Header, proof: &BlockProof) -> Result<BlockDigest, ProofRefused> {
        let digest = block_digest(header);
        if header.height == self.height && digest == self.digest {
            return Ok(digest);
        }
        if header.height == Height(0) {
            // Genesis is final by itself. Its only proof is to be the pinned one.
            return Err(ProofRefused::OtherGenesis);
        }
        self.check_settings(header)?;
        let (last, certified) = check_descendants(header, digest, proof)?;
        let body = &proof.finalization.body;
        let place = (body.chain, body.shard, body.epoch, body.view, body.kind, body.block);
        if place != (self.chain, last.shard, last.epoch, last.view, VoteKind::Finalize, certified) {
            return Err(ProofRefused::OtherBlock);
        }
        let keys: Vec<PublicKey> = self.validators.iter().map(|validator| validator.validator_key).collect();
        let owners: Vec<PublicKey> = self.validators.iter().map(|validator| validator.owner_key).collect();
        match verify_finalization(&keys, &owners, last, &proof.finalization) {
            Some(_) => Ok(digest),
            None => Err(ProofRefused::BadCertificate),
        }
    }

    /// Checks that a header of the chain is one of the trusted shard. The genesis header, which names no chain, passes.
    ///
    /// # Errors
    /// `OtherShard` of [`ProofRefused`].
    pub(super) fn check_shard(&self, header: &Header) -> Result<(), ProofRefused> {
        if header.chain == self.chain && header.shard != self.charter.shard {
            return Err(ProofRefused::OtherShard { header: header.shard, expected: self.charter.shard });
        }
        Ok(())
    }

    fn check_settings(&self, header: &Header) -> Result<(), ProofRefused> {
        if header.chain != self.chain {
            return Err(ProofRefused::OtherChain);
        }
        self.check_shard(header)?;
        if header.epoch != self.epoch {
            return Err(ProofRefused::OtherEpoch { header: header.epoch, trusted: self.epoch });
        }
        if header.version != self.version {
            return Err(ProofRefused::OtherVersion { header: header.version, trusted: self.version });
        }
        if header.time_ms <= self.time_ms || header.height <= self.height {
            return Err(ProofRefused::Below(header.height));
        }
        let settings = (header.validator_set, header.parameters, header.shard_map);
        let same = settings == (self.validator_set, self.parameters, self.shard_map);
        if !same {
            return Err(ProofRefused::OtherSettings);
        }
        Ok(())
    }
}

/// Puts a charter behind the encoding of other fields: nothing for that of a chain's only shard.
pub(super) fn with_charter(mut fields: Vec<u8>, charter: &Charter) -> Vec<u8> {
    if *charter != Charter::ONE_SHARD {
        fields.extend(encode(charter));
    }
    fields
}

/// Reads fields with the charter behind them.
pub(super) fn split_charter<T: BorshDeserialize>(bytes: &[u8], limit: usize) -> Result<(T, Charter), DecodeError> {
    match decode::<(T, Charter)>(bytes, limit) {
        Ok(both) => Ok(both),
        Err(_) => Ok((decode(bytes, limit)?, Charter::ONE_SHARD)),
    }
}

/// Checks that a shown committee is the one that a boundary of version 1 names.
fn check_set(validators: &ValidatorSet, boundary: &Header) -> Result<(), ProofRefused> {
    if set_hash(validators) == boundary.next_validator_set { Ok(()) } else { Err(ProofRefused::OtherCommittee) }
}

/// Checks that `header` is final in the epoch of a genesis' committee.
///
/// # Errors
/// [`ProofRefused`].
pub fn verify_block(genesis: &Genesis, header: &Header, proof: &BlockProof) -> Result<(), ProofRefused> {
    Trust::genesis(genesis).check_final(header, proof).map(|_| ())
}

/// Returns the last of the headers from `header` on, with its digest. Each must be the child of the one before; the
/// last may instead be a closing block that names the one before as its boundary.
fn check_descendants<'a>(
    header: &'a Header,
    digest: BlockDigest,
    proof: &'a BlockProof,
) -> Result<(&'a Header, BlockDigest), ProofRefused> {
    let mut last = (header, digest);
    for (index, child) in proof.descendants.iter().enumerate() {
        let (parent, digest) = last;
        let follows = match parent.end {
            End::GoesOn => child.parent_view == parent.view && child.height == parent.height.next(),
            // Blocks above an epoch's end in the same epoch only help to finalize it.
            End::Boundary => child.end == End::Closing(digest) && child.transactions == 0,
            End::Closing(_) => false,
        };
        let follows = child.finalizes() == digest
            && follows
            && child.view > parent.view
            && child.height > parent.height
            && child.time_ms > parent.time_ms
            && (child.chain, child.shard, child.epoch) == (parent.chain, parent.shard, parent.epoch)
            && child.validator_set == parent.validator_set;
        if !follows {
            return Err(ProofRefused::NotAChain(index));
        }
        last = (child, block_digest(child));
    }
    Ok(last)
}
