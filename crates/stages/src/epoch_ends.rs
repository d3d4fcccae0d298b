//! The end of an epoch as its boundary names it: the next committee, term and parameters.
//!
//! *Invariants:* the boundary's hash, which a quorum certified, chooses among the wishes in this node's state; nothing
//! that isn't in the state is ever taken.

use crate::activating::Activating;
use crate::executor::{Basis, store_code};
use rustorium_crypto::{set_hash, term_hash};
use rustorium_execution::{CommitteeRecord, Wanted, next_term, next_term_of, term_of};
use rustorium_storage::{Store, StoreError};
use rustorium_types::{
    BlockProof, BoundedBytes, Epoch, EpochChange, EpochTransition, Header, Height, NEWEST_VERSION, Parameters, Rules,
    Term, TermChange, ValidatorSet, encode,
};
use std::sync::Arc;

/// Code and sentence of a failure.
type Failed = (&'static str, String);

fn failed(error: &StoreError) -> Failed {
    (store_code(error), error.to_string())
}

/// The next epoch.
struct Next {
    validators: ValidatorSet,
    /// Its term; without a meaning under version 1.
    term: Term,
    /// The parameters that begin with it; `None` if they stay.
    parameters: Option<Parameters>,
}

/// The ending epoch, and the hash that its boundary names.
struct Ending<'a> {
    boundary: &'a Header,
    /// The parameters in force.
    in_force: &'a Parameters,
    /// The epoch's own committee.
    own: ValidatorSet,
}

impl Ending<'_> {
    /// Returns the next epoch if a wanted committee and wanted parameters lead to the hash that the boundary names: by
    /// the first difference, or, where members' owners ended the epoch (R33), by the committee alone.
    fn certified(
        &self,
        committee: &ValidatorSet,
        (version, parameters): (Option<u16>, Option<&Parameters>),
    ) -> Option<Next> {
        let (named, set) = (self.boundary.next_validator_set, set_hash(committee));
        let now = term_of(self.boundary, self.in_force);
        let alone = next_term(&now, set);
        if !self.boundary.rules().has_terms() {
            return (named == set).then(|| Next { validators: committee.clone(), term: alone, parameters: None });
        }
        let wanted = Wanted { committee: set, version, parameters };
        let ways = [next_term_of(&now, self.in_force, wanted), (alone, None)];
        let (term, parameters) = ways.into_iter().find(|(term, _)| term_hash(term) == named)?;
        // The committee stays if something else changes.
        let validators = if term.validators == set { committee.clone() } else { self.own.clone() };
        Some(Next { validators, term, parameters })
    }

    /// Returns the next epoch that a quorum certified.
    ///
    /// A store that was filled with a snapshot has no committee record from below it. If the boundary claims such a height,
    /// the next epoch is looked for in the records from the snapshot on and in the committee of the epoch itself, which
    /// operators want until they ask for another. The certified hash decides which one it is.
    fn next(&self, store: &dyn Store) -> Result<Next, Failed> {
        let (height, claimed) = (self.boundary.height, self.boundary.result.height);
        let mut unknown = false;
        for place in (claimed.0..=height.0).map(Height) {
            let Some(bytes) = store.committee_record(place).map_err(|error| failed(&error))? else {
                unknown = true;
                continue;
            };
            let record = CommitteeRecord::from_bytes(&bytes).ok();
            let time_ms = self.boundary.time_ms;
            let certified = |record: CommitteeRecord| {
                let version = record.version_at((self.boundary.epoch, self.boundary.version), self.own.len(), time_ms);
                self.certified(&record.target, (version, record.wanted_at(self.in_force, time_ms).as_deref()))
            };
            match record.and_then(certified) {
                Some(next) => return Ok(next),
                None if unknown => {}
                None => {
                    let sentence = format!(
                        "what a quorum certified at height {height} as the next epoch is not what this node's state says: \
                         its execution is another; sync the store again"
                    );
                    return Err(("diverged", sentence));
                }
            }
        }
        self.certified(&self.own, (None, None)).ok_or_else(|| {
            let sentence = format!(
                "the next epoch after height {height} was asked for at or below height {claimed}, and this node's store \
                 was filled with a snapshot above that: sync the store again"
            );
            ("snapshot-too-new", sentence)
        })
    }
}

/// Returns the sentence about a term of a version that this release doesn't speak. The boundary before it isn't stored, so
/// a newer release goes on from below it.
fn newer_version(term: &Term) -> String {
    format!(
        "the chain goes on by protocol version {} from epoch {} on, and this release speaks versions up to {}: install a newer \
         release, which goes on where this one stopped",
        term.version, term.epoch, NEWEST_VERSION
    )
}

/// Returns the end of an epoch with this boundary. The store keeps it before it stores the boundary.
///
/// # Errors
/// The store's, or this node's state contradicts the boundary.
pub(crate) fn end_of_epoch(
    store: &dyn Store,
    &Basis { parameters, activating, first, .. }: &Basis<'_>,
    boundary: &Header,
    proof: &BlockProof,
) -> Result<EpochTransition, Failed> {
    let before = boundary.epoch.0.checked_sub(1).map(|before| store.epoch(Epoch(before))).transpose();
    let before = before.map_err(|error| failed(&error))?.flatten();
    let own = before.map_or_else(|| first.clone(), |change| change.validators().clone());
    let Next { validators, term, parameters: new } = Ending { boundary, in_force: parameters, own }.next(store)?;
    let terms = boundary.rules().has_terms();
    if terms && Rules::of(term.version).is_none() {
        return Err(("protocol-newer", newer_version(&term)));
    }
    let (boundary, proof) = (boundary.clone(), proof.clone());
    let change: EpochTransition = if terms {
        let new = new.map(|new| BoundedBytes::new(encode(&new))).transpose();
        let parameters = new.map_err(|error| ("store-failed", error.to_string()))?;
        TermChange { boundary, proof, term, validators, parameters }.into()
    } else {
        end_of_first_version(store, activating, parameters, EpochChange { boundary, proof, next: validators })?
    };
    store.put_epoch(&change).map_err(|error| failed(&error))?;
    Ok(change)
}

/// V2: returns the transition from an epoch of version 1, which operators may have made the last one.
fn end_of_first_version(
    store: &dyn Store,
    activating: Option<(&Activating, &Arc<dyn Store>)>,
    parameters: &Parameters,
    change: EpochChange,
) -> Result<EpochTransition, Failed> {
    let Some((activating, shared)) = activating else { return Ok(change.into()) };
    let Some(activated) = activating.decide(store, &change.boundary, parameters)? else { return Ok(change.into()) };
    tracing::info!(event = "version_activated", version = activated.body.version, epoch = change.boundary.epoch.0 + 1);
    activating.first_term(shared, change, parameters, &activated).map(EpochTransition::from)
}
