//! Terms of protocol version 2: the next one at a boundary, and the check of one that somebody shows.
//!
//! *Invariants:* a boundary's header, the parameters in force and the wanted committee determine the next term; proposer,
//! voter, joining node and light client use the same functions.

use crate::genesis::shard_map;
use crate::parameters::check_parameters2;
use crate::proof::check_first_term;
use rustorium_crypto::{domain, hash, operators_hash, parameters_hash, set_hash, term_hash};
use rustorium_types::limits::PARAMETERS_BYTES_MAX;
use rustorium_types::{Change, EpochTransition, FirstTerm, Hash, Header, Parameters, Rules, Term, TermChange, decode};

/// Returns the term in force in a header's epoch, whose parameters these are. It doesn't tell what changed since the
/// term before.
pub fn term_of(header: &Header, parameters: &Parameters) -> Term {
    Term {
        epoch: header.epoch,
        version: header.version,
        validators: header.validator_set,
        parameters: header.parameters,
        charter: header.shard_map,
        operators: operators_hash(parameters),
        leaders: Hash::ZERO,
        change: Change::None,
    }
}

/// Returns the term after `now` if operators want the committee with this hash (V10). A boundary changes one thing.
pub fn next_term(now: &Term, wanted: Hash) -> Term {
    let change = if wanted == now.validators { Change::None } else { Change::Committee };
    Term { epoch: now.epoch.next(), validators: wanted, change, ..*now }
}

/// Checks that a shown term is the one that its boundary names, and that it follows `now`. Returns the parameters that
/// begin with it; `None` if they stay. The caller checks that the boundary is final in the epoch of `now`.
///
/// # Errors
/// The part that is wrong, for people.
pub fn check_term_change(now: &Term, shown: &TermChange) -> Result<Option<Parameters>, &'static str> {
    let ensure = |holds: bool, part| if holds { Ok(()) } else { Err(part) };
    let TermChange { boundary, term, validators, parameters, .. } = shown;
    ensure(term_hash(term) == boundary.next_validator_set, "the next term is another")?;
    ensure(set_hash(validators) == term.validators && !validators.is_empty(), "the next committee is another")?;
    term.check_follows(now)?;
    let newer = "the next term is of a newer protocol version: install the newest release";
    let rules = Rules::of(term.version).ok_or(newer)?;
    match parameters {
        None => ensure(term.parameters == now.parameters, "the new parameters are missing").map(|()| None),
        Some(bytes) => {
            ensure(term.parameters != now.parameters, "the parameters are shown though they stay")?;
            let named = Hash(hash(domain::PARAMETERS, &[bytes.as_slice()])) == term.parameters;
            ensure(named, "the new parameters are others")?;
            let unread = "the new parameters can't be read";
            let new: Parameters = decode(bytes.as_slice(), PARAMETERS_BYTES_MAX).map_err(|_| unread)?;
            ensure(rules == Rules::V2 && check_parameters2(&new).is_ok(), "a new parameter is out of range")?;
            Ok(Some(new))
        }
    }
}

/// Returns the parameters that a transition begins with, which the caller has checked; `None` if they stay.
pub fn new_parameters(transition: &EpochTransition) -> Option<Parameters> {
    match transition {
        EpochTransition::V1(_) => None,
        EpochTransition::First(first) => check_first_term(first).ok().map(|activation| activation.parameters),
        EpochTransition::Term(change) => decode(change.parameters.as_ref()?.as_slice(), PARAMETERS_BYTES_MAX).ok(),
    }
}

/// Returns the first term of version 2, which begins with these parameters.
pub fn first_term(first: &FirstTerm, parameters: &Parameters) -> Term {
    let boundary = &first.change.boundary;
    Term {
        epoch: boundary.epoch.next(),
        version: Rules::V2.version(),
        validators: boundary.next_validator_set,
        parameters: parameters_hash(parameters),
        charter: shard_map(Rules::V2, boundary.shard),
        operators: operators_hash(parameters),
        leaders: Hash::ZERO,
        change: Change::Version,
    }
}
