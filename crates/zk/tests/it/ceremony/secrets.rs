//! Each phase needs a secret that nobody knows: a beacon's is public.

use super::small::{add, add_beacon, on, powers, relation, verify, verify_bytes, whole};
use rustorium_zk::ceremony::{CeremonyError, Transcript};

const PTAU: &[u8] = include_bytes!("../../../../../tests/zk/powers-4.ptau");

fn power() -> u8 {
    relation().power().unwrap()
}

#[test]
fn a_first_phase_of_a_beacon_alone_is_refused() {
    let mut alone = Transcript::begin(power()).unwrap();
    add_beacon(&mut alone);
    assert_eq!(alone.verify(None, &mut on), Err(CeremonyError::NoSecret(1)));
    assert_eq!(Transcript::begin(power()).unwrap().may_end(), Err(CeremonyError::TooEarly(1)));
    assert_eq!(powers().may_end(), Ok(()));
    assert_eq!(alone.begin_second(&relation(), &mut on), Err(CeremonyError::NoSecret(1)));
    assert_eq!(CeremonyError::NoSecret(1).code(), "ceremony-refused");
}

#[test]
fn a_second_phase_of_a_beacon_alone_is_refused_and_makes_no_key() {
    let mut alone = powers().begin_second(&relation(), &mut on).unwrap();
    add_beacon(&mut alone);
    assert_eq!(verify(&alone), Err(CeremonyError::NoSecret(2)));
    assert_eq!(verify_bytes(&alone.to_bytes()), Err(CeremonyError::NoSecret(2)));
    assert_eq!(alone.finish().err(), Some(CeremonyError::NoSecret(2)));
}

#[test]
fn imported_powers_stand_for_a_first_phase_and_for_no_second() {
    let mut imported = Transcript::import(PTAU, power()).unwrap();
    add_beacon(&mut imported);
    imported.verify(None, &mut on).unwrap();
    let mut second = imported.begin_second(&relation(), &mut on).unwrap();
    verify(&second).unwrap();
    add_beacon(&mut second);
    assert_eq!(verify(&second), Err(CeremonyError::NoSecret(2)));
}

#[test]
fn a_phase_that_goes_on_is_verified_as_far_as_it_is() {
    let mut transcript = Transcript::begin(power()).unwrap();
    assert_eq!(transcript.verify(None, &mut on), Ok(Vec::new()));
    add(&mut transcript, "alice", 1);
    let mut second = transcript.begin_second(&relation(), &mut on).unwrap();
    assert_eq!(verify(&second).unwrap().len(), 1);
    add(&mut second, "bob", 2);
    verify(&second).unwrap();
    second.finish().unwrap();
    verify(&whole()).unwrap();
}
