//! Light clients follow terms: from one epoch of version 2 to the next, and from version 1 into version 2.

use crate::common::*;
use proptest::prelude::*;
use rustorium_crypto::{block_digest, parameters_hash, set_hash, term_hash};
use rustorium_execution::*;
use rustorium_types::*;

const NOW: u64 = START_MS + 1_000_000_000;

fn light(made: &Genesis) -> Light {
    Light::new(Trust::genesis(made), None)
}

#[test]
fn a_term_leads_to_its_committee_and_the_client_goes_on_from_its_bytes() {
    let made = second();
    let change = ended(&made, |_| {});
    assert_eq!(change.term.change, Change::Committee);
    let mut light = light(&made);
    assert_eq!(light.follow(&change.clone().into(), NOW), Ok(Epoch(1)));
    let trust = light.newest().clone();
    assert_eq!((trust.version, &trust.validators), (2, &change.validators));
    assert_eq!((trust.operators, trust.epoch_ms), (change.term.operators, Some(made.parameters.epoch_ms)));
    let checkpoint = trust.to_checkpoint();
    assert!(checkpoint.starts_with(b"rscheck2"));
    assert_eq!(Trust::from_checkpoint(&checkpoint).unwrap(), trust);
    let mut again = Light::from_bytes(&light.to_bytes(), None).unwrap();
    assert_eq!(again.newest(), &trust);
    // Epochs that change nothing follow, with the committee's own hash in all headers but the boundary.
    let first = Header {
        epoch: Epoch(1),
        validator_set: trust.validator_set,
        next_validator_set: trust.validator_set,
        end: End::GoesOn,
        ..child(&change.boundary, ResultClaim::default())
    };
    let proof = BlockProof { descendants: BoundedVec::default(), finalization: signed(&first, 1, 5) };
    assert_eq!(again.check_final(&first, &proof, NOW), Ok(block_digest(&first)));
    let term = next_term(&change.term, trust.validator_set);
    assert_eq!((term.epoch, term.change), (Epoch(2), Change::None));
    let boundary = Header { end: End::Boundary, next_validator_set: term_hash(&term), ..first };
    let proof = BlockProof { descendants: BoundedVec::default(), finalization: signed(&boundary, 1, 5) };
    let same = TermChange { boundary, proof, term, validators: change.validators, parameters: None };
    assert_eq!(again.follow(&same.into(), NOW), Ok(Epoch(2)));
}

#[test]
fn a_term_that_changes_something_else_than_it_names_is_refused_though_a_quorum_signed_it() {
    type Edit = fn(&mut TermChange);
    let (differs, newer) = (
        "the term changes something else than it names",
        "the next term is of a newer protocol version: install the newest release",
    );
    let edits: [(&str, Edit); 12] = [
        ("the next committee is another", |c| edit(&mut c.validators, |set| set.swap(0, 1))),
        ("the next committee is another", |c| {
            c.validators = ValidatorSet::default();
            c.term.validators = set_hash(&c.validators);
        }),
        ("the term is of another epoch", |c| c.term.epoch = Epoch(2)),
        (differs, |c| c.term.change = Change::None),
        (differs, |c| c.term.change = Change::Version),
        (differs, |c| c.term.change = Change::Operators),
        // Two changes.
        (differs, |c| c.term.parameters = Hash([1; 32])),
        (differs, |c| c.term.operators = Hash([1; 32])),
        (differs, |c| c.term.version = 3),
        ("the term changes the charter or the leaders' policy", |c| c.term.charter = Hash([1; 32])),
        ("the term changes the charter or the leaders' policy", |c| c.term.leaders = Hash([1; 32])),
        ("the parameters are shown though they stay", |c| c.parameters = bytes_of(&Parameters::default())),
    ];
    let made = second();
    for (why, edit) in edits {
        let refused = light(&made).follow(&ended(&made, edit).into(), NOW);
        assert_eq!(refused, Err(ProofRefused::OtherTerm(why)));
    }
    let upgrade = ended(&made, |c| {
        with_parameters(c, &second(), &Parameters::default());
        (c.term.version, c.term.change) = (3, Change::Version);
    });
    assert_eq!(light(&made).follow(&upgrade.into(), NOW), Err(ProofRefused::OtherTerm(newer)));
}

#[test]
fn a_term_that_the_boundary_does_not_name_is_refused() {
    let made = second();
    let mut change = ended(&made, |_| {});
    // As a boundary of version 1 would name the committee.
    change.boundary.next_validator_set = change.term.validators;
    change.proof.finalization = signed(&change.boundary, 0, 4);
    let refused = light(&made).follow(&change.into(), NOW);
    assert_eq!(refused, Err(ProofRefused::OtherTerm("the next term is another")));
    let mut few = ended(&made, |_| {});
    edit(&mut few.proof.finalization.signatures, |all| all.truncate(2));
    assert_eq!(light(&made).follow(&few.into(), NOW), Err(ProofRefused::BadCertificate));
}

#[test]
fn new_parameters_come_with_their_bytes_and_only_possible_ones_are_followed() {
    let made = second();
    let new = Parameters { epoch_ms: 7_200_000, ..made.parameters.clone() };
    let change = ended(&made, |c| with_parameters(c, &second(), &new));
    let mut client = light(&made);
    assert_eq!(client.follow(&change.into(), NOW), Ok(Epoch(1)));
    assert_eq!(client.newest().epoch_ms, Some(7_200_000));
    assert_eq!(client.newest().parameters, parameters_hash(&new));
    let refused = |new: &Parameters, edit: fn(&mut TermChange)| {
        let change = ended(&made, |c| {
            with_parameters(c, &second(), new);
            edit(c);
        });
        light(&made).follow(&change.into(), NOW).unwrap_err()
    };
    let other = |why| ProofRefused::OtherTerm(why);
    assert_eq!(refused(&new, |c| c.parameters = None), other("the new parameters are missing"));
    let others: fn(&mut TermChange) = |c| c.parameters = bytes_of(&Parameters::default());
    assert_eq!(refused(&new, others), other("the new parameters are others"));
    let none = Parameters { quota_work_per_s: 0, ..new.clone() };
    assert_eq!(refused(&none, |_| {}), other("a new parameter is out of range"));
    let first = Parameters { min_epoch_ms: None, ..new };
    assert_eq!(refused(&first, |_| {}), other("a new parameter is out of range"));
}

#[test]
fn a_change_in_another_versions_form_is_refused() {
    let made = second();
    let change = ended(&made, |_| {});
    let plain =
        EpochChange { boundary: change.boundary.clone(), proof: change.proof.clone(), next: change.validators.clone() };
    assert_eq!(light(&made).follow(&plain.into(), NOW), Err(ProofRefused::OtherForm(Epoch(0))));
    let first = make_genesis(Parameters::of(Rules::V1));
    assert_eq!(light(&first).follow(&change.into(), NOW), Err(ProofRefused::OtherForm(Epoch(0))));
}

#[test]
fn a_client_of_version_one_follows_into_version_two_by_the_operators_values() {
    let (made, _, first) = activated();
    let mut client = light(&made);
    assert_eq!(client.newest().version, 1);
    assert_eq!(client.follow(&first_of(&first), NOW), Ok(Epoch(1)));
    let trust = client.newest().clone();
    assert_eq!((trust.version, trust.validator_set), (2, set_hash(&made.validators)));
    let second = check_first_term(&first).unwrap().parameters;
    assert_eq!((trust.parameters, trust.epoch_ms), (parameters_hash(&second), Some(second.epoch_ms)));
    assert_ne!(trust.shard_map, hashes(&made, ShardId::ROOT).shard_map, "the charter takes the map's place");
    let again = Light::from_bytes(&client.to_bytes(), None).unwrap();
    assert_eq!(again.newest(), &trust, "trusts of both versions in one state");
    // The next epoch's headers are of version 2, with these settings.
    let header = Header {
        version: 2,
        epoch: Epoch(1),
        parameters: trust.parameters,
        shard_map: trust.shard_map,
        end: End::GoesOn,
        ..child(&first.change.boundary, ResultClaim::default())
    };
    let plain = |header: &Header| BlockProof { descendants: BoundedVec::default(), finalization: signed(header, 0, 4) };
    assert_eq!(client.check_final(&header, &plain(&header), NOW), Ok(block_digest(&header)));
    let old = Header { version: 1, ..header };
    let refused = client.check_final(&old, &plain(&old), NOW);
    assert_eq!(refused, Err(ProofRefused::OtherVersion { header: 1, trusted: 2 }));
}

#[test]
fn evidence_of_an_activation_is_refused_with_any_part_missing_or_altered() {
    let (made, reads, good) = activated();
    let refused = |edit: &dyn Fn(&mut FirstTerm)| {
        let mut first = good.clone();
        edit(&mut first);
        light(&made).follow(&first_of(&first), NOW).unwrap_err()
    };
    let no = ProofRefused::NoActivation;
    let one = reads.prove(vec![value_of(0, ACTIVATION_KEY)], Vec::new());
    assert_eq!(refused(&|f| f.activation = one.clone()), no);
    let elsewhere = reads.prove(vec![value_of(0, ACTIVATION_KEY), value_of(1, b"other")], Vec::new());
    assert_eq!(refused(&|f| f.activation = elsewhere.clone()), no);
    let all = (0..3).map(|number| value_of(number, ACTIVATION_KEY)).collect();
    let all = reads.prove(all, Vec::new());
    assert_eq!(refused(&|f| f.activation = all.clone()), no, "one encoding: exactly a quorum");
    assert_eq!(refused(&|f| f.parameters.operator_quorum = 1), ProofRefused::OtherSettings);
    assert_eq!(refused(&|f| f.activation.header.time_ms += 1), no, "under another block");
    let altered = |f: &mut FirstTerm| {
        edit(&mut f.activation.entries, |entries| {
            let mut value = entries[0].1.clone().unwrap().into_vec();
            value[80] ^= 1;
            entries[0].1 = BoundedBytes::new(value).ok();
        });
    };
    assert_eq!(refused(&altered), ProofRefused::OtherValue(0));
    let few = |f: &mut FirstTerm| {
        edit(&mut f.change.proof.finalization.signatures, |all| all.truncate(2));
        f.activation.proof = f.change.proof.clone();
    };
    assert_eq!(refused(&few), ProofRefused::BadCertificate);
    let set = |f: &mut FirstTerm| edit(&mut f.change.next, |set| set.swap(0, 1));
    assert_eq!(refused(&set), ProofRefused::OtherCommittee);
}

#[test]
fn a_checkpoint_has_its_versions_form() {
    let made = second();
    let trust = Trust::genesis(&made);
    let bytes = trust.to_checkpoint();
    assert_eq!(Trust::from_checkpoint(&bytes).unwrap(), trust);
    let unreleased = [encode(&trust), encode(&made.parameters.epoch_ms)].concat();
    assert!(Trust::from_checkpoint(&unreleased).unwrap_err().to_string().contains("unreleased"));
    let first = Trust::genesis(&make_genesis(Parameters::of(Rules::V1)));
    let renamed = [b"rscheck2", &encode(&(&first, Hash::ZERO, Hash::ZERO, 1u64))[..]].concat();
    assert!(Trust::from_checkpoint(&renamed).is_err());
    let newer = Trust { version: 3, ..trust };
    assert!(Trust::from_checkpoint(&newer.to_checkpoint()).unwrap_err().to_string().contains("a newer release"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_flipped_bit_of_a_transition_is_accepted(at in any::<prop::sample::Index>(), bit in 0u8..8, late: bool) {
        let (made, change) = if late {
            let made = second();
            let change = EpochTransition::from(ended(&made, |_| {}));
            (made, change)
        } else {
            let (made, _, first) = activated();
            (made, first_of(&first))
        };
        let mut bytes = encode(&change);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = decode::<EpochTransition>(&bytes, PROOF_BYTES_MAX) {
            prop_assert!(light(&made).follow(&changed, NOW).is_err(), "byte {at}");
        }
    }
}
