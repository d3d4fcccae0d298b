//! Terms of protocol version 2: the next one at a boundary, and the check of one that somebody shows.
//!
//! *Invariants:* a boundary's header, the parameters in force and the wanted committee determine the next term; proposer,
//! voter, joining node and light client use the same functions.

use crate::genesis::shard_map;
use crate::parameters::check_parameters2;
use crate::proof::check_first_term;
use rustorium_crypto::{domain, hash, operators_hash, parameters_hash, set_hash, term_hash};
use rustorium_types::limits::PARAMETERS_BYTES_MAX;
use rustorium_types::{
    Change, Charter, EpochTransition, FirstTerm, Hash, Header, Parameters, Rules, Term, TermChange, decode,
};

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

/// The things that a boundary may take.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Hash of the next committee.
    pub committee: Hash,
    /// The next protocol version; `None` if it stays (V11).
    pub version: Option<u16>,
    /// The next parameters; `None` if nobody ever wanted others.
    pub parameters: Option<&'a Parameters>,
}

impl Wanted<'_> {
    /// Returns a wish for a committee alone.
    pub fn committee(committee: Hash) -> Self {
        Self { committee, version: None, parameters: None }
    }
}

/// Returns the term after `now`, in which `in_force` are the parameters, and the parameters that begin with it; `None` if
/// they stay. Of the things that are wanted, one boundary takes the first: version, parameters, operators, committee (V10).
pub fn next_term_of(now: &Term, in_force: &Parameters, wanted: Wanted<'_>) -> (Term, Option<Parameters>) {
    if let Some(version) = wanted.version {
        return (Term { epoch: now.epoch.next(), version, change: Change::Version, ..*now }, None);
    }
    let Some((change, parameters)) = next_parameters(in_force, wanted.parameters) else {
        return (next_term(now, wanted.committee), None);
    };
    let (hash, operators) = (parameters_hash(&parameters), operators_hash(&parameters));
    (Term { epoch: now.epoch.next(), parameters: hash, operators, change, ..*now }, Some(parameters))
}

/// Returns the parameters that the next boundary takes of those that are wanted, and what changes; `None` if it takes none.
fn next_parameters(in_force: &Parameters, wanted: Option<&Parameters>) -> Option<(Change, Parameters)> {
    let wanted = wanted.filter(|wanted| *wanted != in_force)?;
    let (operators, operator_quorum) = (in_force.operators.clone(), in_force.operator_quorum);
    let first = Parameters { operators, operator_quorum, ..wanted.clone() };
    let stay = first == *in_force;
    Some(if stay { (Change::Operators, wanted.clone()) } else { (Change::Parameters, first) })
}

/// Checks that new parameters are those of a change after the parameters in force (V10).
///
/// # Errors
/// The part that is wrong, for people.
pub fn check_new_parameters(in_force: &Parameters, change: Change, new: &Parameters) -> Result<(), &'static str> {
    match next_parameters(in_force, Some(new)) {
        Some((found, next)) if found == change && next == *new => Ok(()),
        _ => Err("the new parameters change something else than the term names"),
    }
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
            ensure(operators_hash(&new) == term.operators, "the next operators are others")?;
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
        charter: shard_map(Rules::V2, &Charter::whole(boundary.shard)),
        operators: operators_hash(parameters),
        leaders: Hash::ZERO,
        change: Change::Version,
    }
}
