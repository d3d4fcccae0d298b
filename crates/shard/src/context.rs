//! Facts that stay fixed while a shard's epoch runs: committee, keys, parameters and the hashes that headers carry.

use rustorium_crypto::{SigningKey, Verified, block_digest, parameters_hash, set_hash, term_hash};
use rustorium_execution::{
    ChainHashes, Wanted, check_first_term, check_new_parameters, check_term_change, first_term, new_parameters,
    next_term, next_term_of, term_of,
};
use rustorium_quorum::{Committee, Leaders, leader_seed};
use rustorium_storage::{Store, StoreError};
use rustorium_types::{
    BlockDigest, BlockProof, BoundedVec, Certificate, ChainId, Charter, Cursor, End, Epoch, EpochTransition, Genesis,
    Hash, Header, Height, NEWEST_VERSION, Parameters, PublicKey, Rules, ShardId, Term, ValidatorIndex, ValidatorSet,
    View,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The fixed facts of one shard's epoch on one node.
pub struct Context {
    /// The committee.
    pub committee: Arc<Committee>,
    /// The committee's members, in the order of their places.
    pub validators: Arc<ValidatorSet>,
    /// The members' regions, in the order of their places.
    pub regions: Vec<u8>,
    /// The members' places, by the node keys that their links prove.
    pub places: BTreeMap<PublicKey, ValidatorIndex>,
    /// The leader of each view of the epoch.
    pub leaders: Leaders,
    /// True if the leaders' order is drawn by lot (R1). Chains of protocol version 1 take leaders in the order of
    /// places.
    drawn: bool,
    /// Header time at which the epoch began. The epoch's end is due `epoch_ms` later.
    pub start_ms: u64,
    /// Key that signs votes and batches if its public half is a member's. `None` on a node without such a key: that
    /// node only follows.
    pub key: Option<SigningKey>,
    /// Public half of a key that another process holds. The shard asks that process for signatures.
    pub elsewhere: Option<PublicKey>,
    /// The rules that the chain follows.
    pub rules: Rules,
    /// The newest protocol version that this release knows.
    newest: u16,
    /// Chain parameters.
    pub parameters: Parameters,
    /// The epoch since which these parameters are in force.
    pub parameters_since: Epoch,
    /// The genesis' chain parameters.
    genesis_parameters: Arc<Parameters>,
    /// The shard's accounts.
    pub charter: Charter,
    /// Hashes that headers carry; those of the validator set and of the parameters are this epoch's.
    pub hashes: ChainHashes,
    /// The facts of the epoch, which from version 2 on the boundary before it names by their hash.
    pub term: Term,
    /// The genesis block's header.
    pub genesis_header: Header,
    /// The genesis block's digest.
    pub genesis_digest: BlockDigest,
    /// The result root at height 0.
    pub genesis_root: Hash,
}

fn regions_of(validators: &ValidatorSet) -> Vec<u8> {
    validators.iter().map(|member| member.region).collect()
}

impl Context {
    /// The context of a shard's epoch 0, which has the genesis committee.
    pub fn new(genesis: &Genesis, shard: ShardId, key: impl Into<Option<SigningKey>>) -> Self {
        let key = key.into();
        let state = rustorium_execution::genesis(genesis, shard);
        let chain = rustorium_crypto::chain_id(genesis);
        let own = key.as_ref().map(SigningKey::public);
        let validators = genesis.committee(shard);
        let (committee, places) = members(chain, (shard, Epoch(0)), &validators, own);
        let drawn = genesis.rules().draws_leaders();
        let leaders = leaders_of(&committee, drawn, state.result_root, View(0));
        let leaders = leaders.led_by(leading(&validators, &genesis.parameters));
        let term = term_of(&state.header, &genesis.parameters);
        Self {
            leaders,
            drawn,
            committee: Arc::new(committee),
            regions: regions_of(&validators),
            validators: Arc::new(validators),
            places,
            start_ms: genesis.time_ms,
            key,
            elsewhere: None,
            rules: genesis.rules(),
            newest: NEWEST_VERSION,
            parameters: genesis.parameters.clone(),
            parameters_since: Epoch(0),
            genesis_parameters: Arc::new(genesis.parameters.clone()),
            charter: genesis.charter(shard),
            hashes: rustorium_execution::hashes(genesis, shard),
            term,
            genesis_header: state.header,
            genesis_digest: state.digest,
            genesis_root: state.result_root,
        }
    }

    /// Returns the context of the epoch that goes on after the block of `tip`; if that block ends an epoch, of the next
    /// one.
    /// Errors: the store can't be read, or it lacks the end of the previous epoch.
    pub fn at(
        genesis: &Genesis,
        key: impl Into<Option<SigningKey>>,
        store: &dyn Store,
        tip: &Header,
    ) -> Result<Self, StoreError> {
        let first = Self::new(genesis, tip.shard, key);
        let epoch = if tip.ends_epoch() { tip.epoch.next() } else { tip.epoch };
        let Some(before) = epoch.0.checked_sub(1).map(Epoch) else { return Ok(first) };
        let what = "the end of the epoch before is missing";
        let change = store.epoch(before)?.ok_or(StoreError::Inconsistent { height: tip.height, what })?;
        let (parameters_since, parameters) = first.parameters_at(store, change.boundary())?;
        let held = Self { parameters, parameters_since, ..first };
        Ok(held.after(&change))
    }

    /// Returns the parameters in force in a header's block. They began with the genesis' or at the end of an earlier
    /// epoch.
    /// Errors: the store can't be read, or it lacks that end.
    pub fn parameters_of(&self, store: &dyn Store, header: &Header) -> Result<Parameters, StoreError> {
        self.parameters_at(store, header).map(|(_, parameters)| parameters)
    }

    /// Returns what `parameters_of` does, and the epoch since which they are in force.
    fn parameters_at(&self, store: &dyn Store, header: &Header) -> Result<(Epoch, Parameters), StoreError> {
        if header.parameters == self.hashes.parameters {
            return Ok((self.parameters_since, self.parameters.clone()));
        }
        if header.parameters == self.genesis_header.parameters {
            return Ok((Epoch(0), (*self.genesis_parameters).clone()));
        }
        for epoch in (0..header.epoch.0).rev().map(Epoch) {
            let found = store.epoch(epoch)?.and_then(|before| new_parameters(&before));
            if let Some(parameters) = found.filter(|found| parameters_hash(found) == header.parameters) {
                return Ok((epoch.next(), parameters));
            }
        }
        let what = "the end of the epoch that began with the chain's parameters is missing";
        Err(StoreError::Inconsistent { height: header.height, what })
    }

    /// Returns the context of the epoch after the one that `change` ends. The caller has checked `change`.
    pub fn after(&self, change: &EpochTransition) -> Self {
        let (boundary, validators) = (change.boundary(), change.validators());
        let (chain, epoch) = (self.chain(), boundary.epoch.next());
        let (committee, places) = members(chain, (self.shard(), epoch), validators, self.own_key());
        let new = new_parameters(change).map(|parameters| (epoch, parameters));
        let (parameters_since, parameters) = new.unwrap_or_else(|| (self.parameters_since, self.parameters.clone()));
        let term = match change {
            EpochTransition::V1(_) => next_term(&term_of(boundary, &parameters), boundary.next_validator_set),
            EpochTransition::First(first) => first_term(first, &parameters),
            EpochTransition::Term(change) => change.term,
        };
        let rules = Rules::of(term.version).unwrap_or(self.rules);
        // The order of leaders is the version's, except in tests that chose it.
        let drawn = if rules == self.rules { self.drawn } else { rules.draws_leaders() };
        let leaders = leaders_of(&committee, drawn, boundary.result.root, boundary.view);
        Self {
            leaders: leaders.led_by(leading(validators, &parameters)),
            drawn,
            committee: Arc::new(committee),
            regions: regions_of(validators),
            validators: Arc::new(validators.clone()),
            places,
            start_ms: boundary.time_ms,
            key: self.key.clone(),
            elsewhere: self.elsewhere,
            rules,
            newest: self.newest,
            parameters,
            parameters_since,
            genesis_parameters: self.genesis_parameters.clone(),
            charter: self.charter,
            hashes: ChainHashes {
                chain: self.hashes.chain,
                validator_set: term.validators,
                parameters: term.parameters,
                shard_map: term.charter,
            },
            term,
            genesis_header: self.genesis_header.clone(),
            genesis_digest: self.genesis_digest,
            genesis_root: self.genesis_root,
        }
    }

    /// Returns the same context with leaders in the order of their places, for this epoch and later ones, whatever the
    /// chain's protocol version. For tests and models that say who leads which view.
    pub fn led_by_place(mut self) -> Self {
        self.drawn = false;
        self.leaders = Leaders::new(self.n(), None, self.leaders.boundary());
        self
    }

    /// Returns the same context for a release that knows no later protocol version than `newest`. For models of nets with
    /// mixed releases.
    pub fn of_release(mut self, newest: u16) -> Self {
        self.newest = newest;
        self
    }

    /// Returns true if members are in different regions, so that homes of senders aren't spread over all.
    pub fn has_regions(&self) -> bool {
        self.regions.iter().any(|region| Some(region) != self.regions.first())
    }

    /// Returns what a header of this node says of the newest version that its release speaks: zero if that is the epoch's
    /// (V11).
    pub fn speaks(&self) -> u64 {
        let now = self.rules.version();
        if self.rules.has_terms() && self.newest > now { self.newest.into() } else { 0 }
    }

    /// Returns true if this release can go on by a version.
    pub fn knows(&self, version: u16) -> bool {
        version <= self.newest
    }

    /// Returns the same context for a node whose votes and batches another process signs with the key `own`. `None`
    /// changes nothing.
    pub fn signed_elsewhere(mut self, own: Option<PublicKey>) -> Self {
        let Some(own) = own else { return self };
        (self.key, self.elsewhere) = (None, Some(own));
        let place = (self.shard(), self.epoch());
        let (committee, _) = members(self.chain(), place, &self.validators, Some(own));
        self.committee = Arc::new(committee);
        self
    }

    /// Returns the chain.
    pub fn chain(&self) -> ChainId {
        self.committee.chain
    }

    /// Returns the shard.
    pub fn shard(&self) -> ShardId {
        self.committee.shard
    }

    /// Returns the epoch.
    pub fn epoch(&self) -> Epoch {
        self.committee.epoch
    }

    /// Returns the public half of this node's validator key.
    pub fn own_key(&self) -> Option<PublicKey> {
        self.key.as_ref().map(SigningKey::public).or(self.elsewhere)
    }

    /// Returns this node's place in the committee. `None` if the node only follows.
    pub fn me(&self) -> Option<ValidatorIndex> {
        self.committee.me
    }

    /// Returns true if `place` is this node's place.
    pub fn is_me(&self, place: ValidatorIndex) -> bool {
        self.committee.me == Some(place)
    }

    /// Returns the place of the member with this node key. `None` if the key belongs to no member of this epoch's
    /// committee.
    pub fn place(&self, node_key: &PublicKey) -> Option<ValidatorIndex> {
        self.places.get(node_key).copied()
    }

    /// Returns the number of validators in the committee.
    pub fn n(&self) -> usize {
        self.committee.keys.len()
    }

    /// Returns what a boundary of this epoch names in `next_validator_set` if operators want the committee with this hash:
    /// the committee, or from version 2 on the next term.
    pub fn names_next(&self, wanted: Hash) -> Hash {
        self.names_wanted(Wanted::committee(wanted))
    }

    /// Returns what `names_next` does if seats also want another version or other parameters.
    pub fn names_wanted(&self, wanted: Wanted<'_>) -> Hash {
        if !self.rules.has_terms() {
            return wanted.committee;
        }
        let (term, _) = next_term_of(&self.term, &self.parameters, wanted);
        term_hash(&term)
    }

    /// Returns true if a header carries this chain, shard and epoch and their hashes.
    pub fn header_is_ours(&self, header: &Header) -> bool {
        header.version == self.rules.version()
            && header.chain == self.committee.chain
            && header.shard == self.committee.shard
            && header.epoch == self.committee.epoch
            && header.cursors.len() == self.n()
            && header.validator_set == self.hashes.validator_set
            && (header.ends_epoch() || header.next_validator_set == self.hashes.validator_set)
            && header.parameters == self.hashes.parameters
            && header.shard_map == self.hashes.shard_map
    }

    /// Returns true if a header is of this chain and of a protocol version that this release doesn't know. The header's
    /// other fields may mean something else in that version. A known version that this epoch doesn't have is that of a
    /// later epoch, whose beginning the node learns of as of any other.
    pub fn is_of_newer_version(&self, header: &Header) -> bool {
        header.chain == self.committee.chain && !self.knows(header.version)
    }

    /// Returns a final header as this epoch's blocks see it. The boundary block of the previous epoch is a parent like
    /// any other, with two differences: lanes start at zero above it, and it ends nothing in this epoch.
    pub fn as_parent(&self, header: &Header) -> Header {
        let mut seen = header.clone();
        if header.epoch < self.epoch() {
            let cursors = vec![Cursor::default(); self.n()];
            seen.cursors = BoundedVec::new(cursors).unwrap_or_default();
            (seen.epoch, seen.end) = (self.epoch(), End::GoesOn);
        }
        seen
    }

    /// Returns the keys of the members' owners, in the order of the members' places.
    pub fn owners(&self) -> Vec<PublicKey> {
        self.validators.iter().map(|validator| validator.owner_key).collect()
    }

    /// Verifies a finalization of this epoch's block with this header. `None` if a signature doesn't verify or there is
    /// no quorum.
    pub fn finalization_of(&self, header: &Header, certificate: &Certificate) -> Option<Verified<Certificate>> {
        rustorium_crypto::verify_finalization(&self.committee.keys, &self.owners(), header, certificate)
    }

    /// Checks a proof that this epoch has ended: the boundary, the closing block above it if there is one, a
    /// finalization of the last of them, and the next committee or term.
    /// Errors: the part that is wrong, for the log.
    pub fn check_change(&self, change: &EpochTransition) -> Result<(), &'static str> {
        let (boundary, proof) = (change.boundary(), change.proof());
        let ensure = |holds: bool, part| if holds { Ok(()) } else { Err(part) };
        let newer =
            "the boundary is of a newer protocol version: install the newest release if a quorum's nodes say so";
        ensure(!self.is_of_newer_version(boundary), newer)?;
        ensure(self.header_is_ours(boundary) && boundary.ends_epoch(), "the boundary is not of this epoch")?;
        ensure(boundary.end == End::Boundary, "the boundary is a closing block")?;
        ensure(boundary.height > Height(0), "the boundary is the genesis block")?;
        self.check_next(change)?;
        self.check_end_proof(boundary, proof)
    }

    /// Returns the protocol version of the next epoch if a quorum of this one made a boundary final that leads to a version
    /// that this release doesn't know.
    pub fn unknown_version(&self, change: &EpochTransition) -> Option<u16> {
        let EpochTransition::Term(change) = change else { return None };
        let (boundary, term) = (&change.boundary, &change.term);
        let ours = self.header_is_ours(boundary) && boundary.end == End::Boundary;
        let named = ours && term_hash(term) == boundary.next_validator_set && term.check_follows(&self.term).is_ok();
        let unknown = named && Rules::of(term.version).is_none();
        (unknown && self.check_end_proof(boundary, &change.proof).is_ok()).then_some(term.version)
    }

    /// Checks the part of a transition that its boundary names.
    fn check_next(&self, change: &EpochTransition) -> Result<(), &'static str> {
        let ensure = |holds: bool, part| if holds { Ok(()) } else { Err(part) };
        let terms = matches!(change, EpochTransition::Term(_));
        ensure(terms == self.rules.has_terms(), "the transition has the form of another protocol version")?;
        if let EpochTransition::Term(change) = change {
            let new = check_term_change(&self.term, change)?;
            return new.map_or(Ok(()), |new| check_new_parameters(&self.parameters, change.term.change, &new));
        }
        let set = change.validators();
        let named = set_hash(set) == change.boundary().next_validator_set && !set.is_empty();
        ensure(named, "the next committee is another")?;
        match change {
            EpochTransition::First(first) => {
                let refused = "the boundary doesn't lead to version 2: no quorum of the operators activated it";
                check_first_term(first).map(drop).map_err(|_| refused)
            }
            EpochTransition::V1(_) | EpochTransition::Term(_) => Ok(()),
        }
    }

    /// Checks a proof that a boundary of this epoch is final.
    fn check_end_proof(&self, boundary: &Header, proof: &BlockProof) -> Result<(), &'static str> {
        let ensure = |holds: bool, part| if holds { Ok(()) } else { Err(part) };
        let mut last = (boundary, block_digest(boundary));
        if let Some((header, more)) = proof.descendants.split_first() {
            let closes = header.end == End::Closing(last.1)
                && header.view > boundary.view
                && self.header_is_ours(header)
                && crate::rules::check_closes(boundary, header).is_ok();
            ensure(closes && more.is_empty(), "the closing header is not one of this boundary's")?;
            last = (header, block_digest(header));
        }
        let certificate = &proof.finalization;
        let body = self.committee.body(rustorium_types::VoteKind::Finalize, last.0.view, last.1);
        ensure(certificate.body == body, "the certificate finalizes another block")?;
        let good = self.finalization_of(last.0, certificate).is_some();
        ensure(good, "the finalization lacks a quorum of good signatures")
    }
}

/// Returns the leaders of an epoch. `root` and `boundary` are the result root that the boundary before it claims, and
/// the boundary's view.
fn leaders_of(committee: &Committee, drawn: bool, root: Hash, boundary: View) -> Leaders {
    let seed = drawn.then(|| leader_seed(committee.chain, committee.epoch, root));
    Leaders::new(committee.n(), seed, boundary)
}

/// Returns the members that lead in ordinary cycles (R1): those that the parameters don't leave out, or all if fewer than
/// 2f + 1 would lead.
fn leading(validators: &ValidatorSet, parameters: &Parameters) -> Vec<ValidatorIndex> {
    let leads = |at: &usize| !parameters.not_leading.contains(&validators[*at].node_key);
    let found: Vec<usize> = (0..validators.len()).filter(leads).collect();
    let enough = found.len() > 2 * rustorium_types::faults_tolerated(validators.len());
    let all = if enough { found } else { (0..validators.len()).collect() };
    all.into_iter().map(|at| ValidatorIndex(at as u16)).collect()
}

fn members(
    chain: ChainId,
    (shard, epoch): (ShardId, Epoch),
    set: &ValidatorSet,
    own: Option<PublicKey>,
) -> (Committee, BTreeMap<PublicKey, ValidatorIndex>) {
    let keys: Vec<PublicKey> = set.iter().map(|validator| validator.validator_key).collect();
    let place = |at: usize| ValidatorIndex(at as u16);
    let me = own.and_then(|own| keys.iter().position(|member| *member == own)).map(place);
    let places = set.iter().enumerate().map(|(at, validator)| (validator.node_key, place(at))).collect();
    (Committee { chain, shard, epoch, me, keys }, places)
}
