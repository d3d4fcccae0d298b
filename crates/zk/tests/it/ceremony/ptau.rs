//! Powers that snarkjs made.

use super::small::{add, on, relation, verify};
use rustorium_zk::ceremony::{CeremonyError, Origin, Transcript};

/// `snarkjs powersoftau new bn128 4`, then one contribution (tests/zk/README.md).
const PTAU: &[u8] = include_bytes!("../../../../../tests/zk/powers-4.ptau");

/// Range of the sections with powers. The contributions come after them.
const POWERS: std::ops::Range<usize> = 56..6324;

#[test]
fn a_ceremony_starts_from_them() {
    let mut transcript = Transcript::import(PTAU, relation().power().unwrap()).unwrap();
    let list = transcript.verify(None, &mut on).unwrap();
    assert_eq!(list[0].origin, Origin::Import(*blake3::hash(PTAU).as_bytes()));
    add(&mut transcript, "alice", 1);
    let mut second = transcript.begin_second(&relation(), &mut on).unwrap();
    add(&mut second, "bob", 2);
    assert_eq!(verify(&second).unwrap().len(), 3);
}

#[test]
fn powers_above_those_in_the_file_are_refused() {
    Transcript::import(PTAU, 4).unwrap().verify(None, &mut on).unwrap();
    assert_eq!(Transcript::import(PTAU, 5), Err(CeremonyError::TooFew { have: 4, need: 5 }));
}

#[test]
fn damaged_ones_are_refused() {
    for length in (0..PTAU.len()).step_by(101) {
        assert!(matches!(Transcript::import(&PTAU[..length], 4), Err(CeremonyError::Ptau(_))), "{length} bytes");
    }
    assert!(Transcript::import(&[PTAU, &[0]].concat(), 4).is_err());
    // In the sections with powers each byte belongs to a coordinate, or to the kind and length of a section.
    for at in POWERS.step_by(211) {
        let mut bytes = PTAU.to_vec();
        bytes[at] ^= 1;
        let read = Transcript::import(&bytes, 4).and_then(|transcript| transcript.verify(None, &mut on));
        assert!(read.is_err(), "byte {at}");
    }
}
