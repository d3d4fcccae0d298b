//! The rule by which a boundary ends version 1.

use proptest::prelude::*;
use rustorium_crypto::{SigningKey, account_id};
use rustorium_execution::{
    ActivationBasis, ActivationImpossible, ActivationRefused, activation_accounts, plan_activation,
};
use rustorium_types::*;
use std::collections::BTreeSet;

const CHAIN: ChainId = ChainId([7; 32]);
const EPOCH: Epoch = Epoch(4);
const SET: Hash = Hash([9; 32]);

fn key(operator: u8) -> SigningKey {
    SigningKey::from_seed(&[100 + operator; 32])
}

fn parameters(operators: u8, operator_quorum: u8) -> Parameters {
    let keys = (0..operators).map(|operator| key(operator).public()).collect();
    Parameters { operators: BoundedVec::new(keys).unwrap(), operator_quorum, ..Parameters::of(Rules::V1) }
}

fn basis(parameters: &Parameters) -> ActivationBasis<'_> {
    ActivationBasis { chain: CHAIN, epoch: EPOCH, committee: SET, next_committee: SET, parameters }
}

fn plan(parameters: &Parameters) -> ActivationBody {
    plan_activation(parameters, (CHAIN, EPOCH), SET, None).unwrap()
}

type Leaf = (AccountId, Vec<u8>);

fn leaf(operator: u8, region: u8, body: &ActivationBody) -> Leaf {
    (account_id(region, &key(operator).public()), key(operator).sign_activation(body.clone()).to_bytes())
}

fn decide(basis: &ActivationBasis<'_>, leaves: &[Leaf]) -> Option<ActivationBody> {
    let decided = basis.decide(leaves.iter().map(|(account, value)| (*account, value.as_slice())))?;
    let held: BTreeSet<AccountId> = leaves.iter().map(|(account, _)| *account).collect();
    assert_eq!(decided.accounts.len(), usize::from(basis.parameters.operator_quorum));
    assert!(
        decided.accounts.is_sorted_by(|a, b| a < b) && decided.accounts.iter().all(|account| held.contains(account))
    );
    Some(decided.body)
}

#[test]
fn a_quorum_of_one_value_activates_it() {
    let parameters = parameters(3, 2);
    let (basis, body) = (basis(&parameters), plan(&parameters));
    let all: Vec<Leaf> = (0..3).map(|operator| leaf(operator, operator, &body)).collect();
    assert_eq!(decide(&basis, &all[..1]), None);
    assert_eq!(decide(&basis, &all[1..]), Some(body.clone()));
    assert_eq!(decide(&basis, &all), Some(body.clone()));
    let twice = [leaf(0, 1, &body), leaf(0, 200, &body)];
    assert_eq!(decide(&basis, &twice), None, "one operator's two accounts are one operator");
}

#[test]
fn what_does_not_count_hinders_nothing() {
    let parameters = parameters(3, 2);
    let (basis, body) = (basis(&parameters), plan(&parameters));
    let foreign = key(9).sign_activation(body.clone()).to_bytes();
    let mut leaves = vec![leaf(0, 0, &body)];
    let own = |operator: u8| account_id(0, &key(operator).public());
    // Attack 1: a grantee of the operator's account puts a value that it signed itself, or copies another operator's.
    leaves.push((own(1), foreign));
    leaves.push((own(2), leaf(0, 0, &body).1));
    leaves.push((account_id(0, &key(9).public()), key(9).sign_activation(body.clone()).to_bytes()));
    leaves.push((account_id(1, &key(2).public()), b"{}".to_vec()));
    assert_eq!(decide(&basis, &leaves), None);
    leaves.push(leaf(2, 77, &body));
    assert_eq!(decide(&basis, &leaves), Some(body));
}

#[test]
fn two_values_with_the_quorum_are_none() {
    let parameters = parameters(4, 2);
    let (basis, body) = (basis(&parameters), plan_activation(&parameters, (CHAIN, EPOCH), SET, Some(3)).unwrap());
    let other = ActivationBody {
        parameters: Parameters { min_epoch_ms: Some(1_000), ..body.parameters.clone() },
        ..body.clone()
    };
    let mut leaves = vec![leaf(0, 0, &body), leaf(1, 0, &body), leaf(2, 0, &other)];
    assert_eq!(decide(&basis, &leaves), Some(body.clone()));
    leaves.push(leaf(3, 0, &other));
    assert_eq!(decide(&basis, &leaves), None, "the quorum is at most half: both have it");
    // One operator may hold both values, in two regions.
    let spread = [leaf(0, 0, &body), leaf(1, 0, &body), leaf(0, 1, &other), leaf(1, 1, &other)];
    assert_eq!(decide(&basis, &spread), None);
}

#[test]
fn every_field_is_compared() {
    let parameters = parameters(3, 2);
    let (basis, body) = (basis(&parameters), plan(&parameters));
    let with = |change: &dyn Fn(&mut ActivationBody)| {
        let mut body = body.clone();
        change(&mut body);
        body
    };
    let refused = |body: &ActivationBody| {
        assert_eq!(decide(&basis, &[leaf(0, 0, body), leaf(1, 0, body)]), None);
        basis.check(body).unwrap_err()
    };
    let other = Hash([8; 32]);
    assert_eq!(refused(&with(&|body| body.chain = ChainId([8; 32]))), ActivationRefused::OtherChain);
    let late = ActivationRefused::OtherEpoch { named: Epoch(3), now: EPOCH };
    assert_eq!(refused(&with(&|body| body.epoch = Epoch(3))), late);
    assert_eq!(refused(&with(&|body| body.committee = other)), ActivationRefused::OtherCommittee);
    let without = with(&|body| body.parameters.operators = BoundedVec::default());
    assert_eq!(refused(&without), ActivationRefused::OtherOperators);
    let roots = with(&|body| body.parameters.state_roots = false);
    assert_eq!(refused(&roots), ActivationRefused::Parameter("state_roots"));
    let lag = with(&|body| body.parameters.claim_lag_max = 0);
    assert_eq!(refused(&lag), ActivationRefused::Parameter("claim_lag_max"));
    let two = with(&|body| body.operator_quorum = 3);
    assert_eq!(refused(&two), ActivationRefused::Parameter("operator_quorum"));
    let all = with(&|body| (body.operator_quorum, body.parameters.operator_quorum) = (3, 3));
    assert_eq!(refused(&all), ActivationRefused::Quorum { quorum: 3, operators: 3, least: 2, most: 2 });
    // The committee changes at this boundary.
    let changing = ActivationBasis { next_committee: other, ..basis.clone() };
    let leaves = [leaf(0, 0, &body), leaf(1, 0, &body)];
    assert_eq!((decide(&changing, &leaves), decide(&basis, &leaves)), (None, Some(body)));
}

#[test]
fn chains_that_cannot_activate_say_why() {
    let impossible = |parameters: &Parameters, quorum| {
        plan_activation(parameters, (CHAIN, EPOCH), SET, quorum).unwrap_err().to_string()
    };
    let good = parameters(3, 2);
    assert_eq!(
        impossible(&parameters(0, 0), None),
        "the chain has no operators, so nobody can activate version 2; begin a new chain with version 2"
    );
    assert_eq!(
        impossible(&Parameters { state_roots: false, ..good.clone() }, None),
        "the chain makes no state roots, so light clients couldn't check an activation; begin a new chain with version 2"
    );
    assert_eq!(impossible(&good, Some(3)), "a quorum of 3 of 3 operators is not possible; take 2 to 2");
    assert_eq!(
        impossible(&Parameters::of(Rules::V2), None),
        "the chain began with version 2: there is nothing to activate"
    );
    // Attack 28: anybody could sign for this operator.
    let small = Parameters { operators: BoundedVec::new(vec![key(0).public(), [0; 32]]).unwrap(), ..good };
    assert_eq!(
        plan_activation(&small, (CHAIN, EPOCH), SET, None).unwrap_err(),
        ActivationImpossible::SmallOrder(Hash([0; 32]))
    );
    assert_eq!(activation_accounts(&small.operators).len(), 256);
}

#[test]
fn a_key_of_small_order_puts_no_value() {
    let mut parameters = parameters(3, 2);
    let zero = [0; 32];
    parameters.operators = BoundedVec::new(vec![key(0).public(), zero, key(2).public()]).unwrap();
    let body = ActivationBody {
        parameters: Parameters {
            min_epoch_ms: Some(1_000),
            capacity: Some(Capacity::default()),
            operators_delay_ms: Some(0),
            owners_recover_ms: Some(0),
            ..parameters.clone()
        },
        ..plan(&self::parameters(3, 2))
    };
    let mut signature = [0; 64];
    signature[0] = 1;
    let forged = Activation { body: body.clone(), signature };
    let leaves = [leaf(0, 0, &body), (account_id(0, &zero), forged.to_bytes())];
    assert_eq!(decide(&basis(&parameters), &leaves), None);
}

/// A value of one of a few kinds, by an operator, in the account of one of its regions.
fn leaves() -> impl Strategy<Value = (u8, u8, Vec<(u8, u8, u8)>)> {
    let some = proptest::collection::vec((0u8..5, any::<u8>(), 0u8..5), 0..10);
    (1u8..6, 1u8..4, some).prop_map(|(operators, quorum, some)| (operators, quorum.min(operators), some))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The rule, said again by sets: the decision doesn't depend on the order of leaves, nor on regions.
    #[test]
    fn the_decision_is_that_of_the_sets((operators, quorum, some) in leaves(), turn in any::<prop::sample::Index>()) {
        let parameters = parameters(operators, quorum);
        let basis = basis(&parameters);
        let fits = plan_activation(&parameters, (CHAIN, EPOCH), SET, None).is_ok();
        let new = Parameters {
            min_epoch_ms: Some(1_000),
            capacity: Some(Capacity::default()),
            operators_delay_ms: Some(0),
            owners_recover_ms: Some(0),
            ..parameters.clone()
        };
        let good = ActivationBody {
            version: 2, chain: CHAIN, epoch: EPOCH, committee: SET, parameters: new, operator_quorum: quorum,
        };
        let bodies = [
            good.clone(),
            ActivationBody { parameters: Parameters { min_epoch_ms: Some(2_000), ..good.parameters.clone() }, ..good.clone() },
            ActivationBody { committee: Hash([1; 32]), ..good.clone() },
            ActivationBody { epoch: Epoch(5), ..good.clone() },
        ];
        // Kind 4 is a value with somebody else's signature. A later leaf of the same account replaces the one before.
        let mut held = std::collections::BTreeMap::new();
        for (operator, region, kind) in some {
            let place = account_id(region, &key(operator).public());
            let by = if kind == 4 { 50 } else { operator };
            let body = bodies.get(usize::from(kind)).unwrap_or(&good);
            held.insert(place, (operator, kind, key(by).sign_activation(body.clone()).to_bytes()));
        }
        let holders = |kind: u8| {
            let own = held.values().filter(|(operator, k, _)| *k == kind && *operator < operators);
            own.map(|(operator, ..)| *operator).collect::<BTreeSet<u8>>().len() >= usize::from(quorum)
        };
        let agreed: Vec<u8> = (0..3).filter(|kind| holders(*kind)).collect();
        let expected = match agreed.as_slice() {
            [kind @ (0 | 1)] if fits => Some(bodies[usize::from(*kind)].clone()),
            _ => None,
        };
        let mut leaves: Vec<Leaf> = held.iter().map(|(place, (_, _, value))| (*place, value.clone())).collect();
        prop_assert_eq!(&decide(&basis, &leaves), &expected);
        if !leaves.is_empty() {
            let at = turn.index(leaves.len());
            leaves.rotate_left(at);
            prop_assert_eq!(&decide(&basis, &leaves), &expected);
        }
    }
}

#[test]
fn an_operator_may_put_in_any_region() {
    let parameters = parameters(2, 2);
    let (basis, body) = (basis(&parameters), plan(&parameters));
    let watched: BTreeSet<AccountId> = activation_accounts(&parameters.operators).into_iter().collect();
    assert_eq!(watched.len(), 512);
    for region in 0..=255 {
        let leaves = [leaf(0, region, &body), leaf(1, 255 - region, &body)];
        assert!(leaves.iter().all(|(account, _)| watched.contains(account)));
        assert_eq!(decide(&basis, &leaves), Some(body.clone()));
    }
}
