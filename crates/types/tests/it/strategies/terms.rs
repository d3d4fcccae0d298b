//! Terms, activations and the ends of epochs.

use super::proofs::read;
use super::{bounded, epoch_change, hash, id, signature};
use proptest::prelude::*;
use rustorium_types::*;

/// Activations, with parameters in the form of version 2.
pub fn activation() -> impl Strategy<Value = Activation> {
    let body = (id(), any::<u64>(), hash(), bounded(id(), 3), any::<u64>(), any::<u8>());
    let body = body.prop_map(|(chain, epoch, committee, operators, age_ms, operator_quorum)| ActivationBody {
        version: Rules::V2.version(),
        chain: ChainId(chain),
        epoch: Epoch(epoch),
        committee,
        parameters: Parameters { operators, min_epoch_ms: Some(age_ms), ..Parameters::of(Rules::V2) },
        operator_quorum,
    });
    (body, signature()).prop_map(|(body, signature)| Activation { body, signature })
}

fn term() -> impl Strategy<Value = Term> {
    let change = prop_oneof![
        Just(Change::None),
        Just(Change::Version),
        Just(Change::Parameters),
        Just(Change::Operators),
        Just(Change::Committee)
    ];
    (any::<u64>(), any::<u16>(), [hash(), hash(), hash()], [hash(), hash()], change).prop_map(
        |(epoch, version, [validators, parameters, charter], [operators, leaders], change)| Term {
            epoch: Epoch(epoch),
            version,
            validators,
            parameters,
            charter,
            operators,
            leaders,
            change,
        },
    )
}

/// A proof of how an epoch ended, with a boundary of the version that its form needs.
pub fn transition() -> BoxedStrategy<EpochTransition> {
    let of = |change: EpochChange, version| EpochChange { boundary: Header { version, ..change.boundary }, ..change };
    let bytes = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
    let first =
        (epoch_change().boxed(), read().boxed(), any::<u8>()).prop_map(move |(change, activation, operator_quorum)| {
            let parameters = Parameters { operator_quorum, ..Parameters::of(Rules::V1) };
            EpochTransition::First(Box::new(FirstTerm { change: of(change, 1), parameters, activation }))
        });
    let later =
        (epoch_change().boxed(), term().boxed(), bytes, 2u16..).prop_map(move |(change, term, parameters, version)| {
            let EpochChange { boundary, proof, next: validators } = of(change, version);
            let parameters = parameters.map(|bytes| BoundedBytes::new(bytes).unwrap());
            TermChange { boundary, proof, term, validators, parameters }.into()
        });
    prop_oneof![epoch_change().prop_map(move |change| of(change, 1).into()).boxed(), first.boxed(), later.boxed()]
        .boxed()
}
