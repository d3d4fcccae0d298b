//! Activations, terms and the ends of epochs behind the vectors.

use super::values::{bytes, certificate, chain, key, list, sample_geneses, sample_headers};
use rustorium_crypto::domain;
use rustorium_types::*;

/// The term after the first epoch of the chain of version 2, with this change.
pub fn sample_term(change: Change) -> Term {
    let genesis = sample_geneses().remove(2).1;
    Term {
        epoch: Epoch(1),
        version: Rules::V2.version(),
        validators: rustorium_crypto::set_hash(&genesis.validators),
        parameters: rustorium_crypto::parameters_hash(&genesis.parameters),
        charter: rustorium_crypto::charter_hash(&Charter::whole(ShardId::ROOT)),
        operators: rustorium_crypto::operators_hash(&genesis.parameters),
        leaders: Hash::ZERO,
        change,
    }
}

/// The ends of epochs in each form. Their certificates and the state proof are made up.
pub fn sample_transitions() -> Vec<(&'static str, EpochTransition)> {
    let genesis = sample_geneses().remove(0).1;
    let ended = |version, next_validator_set| EpochChange {
        boundary: Header { version, end: End::Boundary, next_validator_set, ..sample_headers().remove(0).1 },
        proof: BlockProof { descendants: list(vec![]), finalization: certificate(VoteKind::Finalize, &[0, 1, 2]) },
        next: genesis.validators.clone(),
    };
    let later = |term: Term, parameters: Option<&Parameters>| {
        let EpochChange { boundary, proof, next: validators } = ended(2, rustorium_crypto::term_hash(&term));
        let parameters = parameters.map(|parameters| bytes(&encode(parameters)));
        EpochTransition::from(TermChange { boundary, proof, term, validators, parameters })
    };
    let change = ended(1, rustorium_crypto::set_hash(&genesis.validators));
    let value = bytes(&sample_activations().remove(0).2.to_bytes());
    let operator = rustorium_crypto::account_id(0, &key(41).public());
    let first = FirstTerm {
        parameters: genesis.parameters.clone(),
        activation: ReadProof {
            entries: list(vec![(Subject::Value(operator, bytes(ACTIVATION_KEY)), Some(value))]),
            others: list(vec![]),
            state: bytes(b"state"),
            header: change.boundary.clone(),
            proof: change.proof.clone(),
        },
        change: change.clone(),
    };
    let new = Parameters { epoch_ms: 7_200_000, ..Parameters::of(Rules::V2) };
    let changed = Term { parameters: rustorium_crypto::parameters_hash(&new), ..sample_term(Change::Parameters) };
    vec![
        ("an epoch's end of version 1", change.into()),
        ("the first term of version 2", EpochTransition::First(Box::new(first))),
        ("a term that changes nothing", later(sample_term(Change::None), None)),
        ("a term with other parameters", later(changed, Some(&new))),
    ]
}

/// Activations of the chain with four validators, with the seeds of their operators' keys.
pub fn sample_activations() -> Vec<(&'static str, u8, Activation)> {
    let one = |seed: u8, operators: &[u8], operator_quorum: u8| {
        let operators = list(operators.iter().map(|seed| key(*seed).public()).collect());
        let genesis = sample_geneses().remove(0).1;
        key(seed).sign_activation(ActivationBody {
            version: Rules::V2.version(),
            chain: chain(),
            epoch: Epoch(7),
            committee: Hash(rustorium_crypto::hash_value(domain::VALIDATOR_SET, &genesis.validators)),
            parameters: Parameters { operators, operator_quorum, ..Parameters::of(Rules::V2) },
            operator_quorum,
        })
    };
    let all: Vec<u8> = (40..56).collect();
    vec![
        ("an activation by one of three operators", 41, one(41, &[41, 42, 43], 2)),
        ("an activation by one of sixteen operators", 40, one(40, &all, 9)),
    ]
}
