//! Everything that is refused: each point replaced, each contribution dropped, moved, repeated or taken from another
//! ceremony.

use super::small::{add, add_beacon, on, powers, relation, verify, verify_bytes, whole};
use ark_bn254::{G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::{CurveGroup, PrimeGroup};
use rustorium_zk::ceremony::{CeremonyError, Fault, Transcript, decode_proving_key, encode_proving_key};

const HEAD: usize = b"rustorium-ceremony/v1\0".len() + 2;
const FIRST: usize = 64;
const SECOND: usize = 128;

/// A file's contributions to a phase, split into bytes.
struct Cut {
    before: Vec<u8>,
    contributions: Vec<Vec<u8>>,
    after: Vec<u8>,
}

fn size_of(transcript: &Transcript) -> usize {
    1 << transcript.power()
}

fn powers_bytes(transcript: &Transcript) -> usize {
    let size = size_of(transcript);
    (2 * size - 1) * FIRST + size * (SECOND + 2 * FIRST) + SECOND
}

/// Returns the offset of the contributions of a phase, where their number is.
fn place(transcript: &Transcript, phase: u8) -> usize {
    let bytes = transcript.to_bytes();
    let first = HEAD + powers_bytes(transcript);
    if phase == 1 {
        return first;
    }
    let end = first + 2 + contributions(&bytes[first..], 3).iter().map(Vec::len).sum::<usize>();
    let (instances, variables) = (relation().matrices().instances(), 4 + 1);
    assert_eq!(variables, instances + relation().matrices().witnesses());
    let named = 1 + "cubic".len() + 32 + 8;
    let key = FIRST + SECOND + instances * FIRST + variables * (2 * FIRST + SECOND);
    end + named + key + (size_of(transcript) - 1 + variables - instances) * FIRST
}

/// The contributions in bytes that begin with their number.
fn contributions(bytes: &[u8], secrets: usize) -> Vec<Vec<u8>> {
    let count = u16::from_le_bytes([bytes[0], bytes[1]]);
    let mut rest = &bytes[2..];
    let mut next = |_| {
        let origin = 1 + usize::from(rest[0]);
        let beacon = if rest[origin] == 2 { 33 } else { 0 };
        let (one, after) = rest.split_at(origin + 1 + beacon + secrets * (FIRST + 2 * FIRST + SECOND));
        rest = after;
        one.to_vec()
    };
    (0..count).map(&mut next).collect()
}

fn cut(transcript: &Transcript, phase: u8) -> Cut {
    let bytes = transcript.to_bytes();
    let place = place(transcript, phase);
    let contributions = contributions(&bytes[place..], if phase == 1 { 3 } else { 1 });
    let end = place + 2 + contributions.iter().map(Vec::len).sum::<usize>();
    Cut { before: bytes[..place].to_vec(), contributions, after: bytes[end..].to_vec() }
}

impl Cut {
    fn joined(&self) -> Vec<u8> {
        let count = (self.contributions.len() as u16).to_le_bytes();
        [&self.before, &count[..], &self.contributions.concat(), &self.after].concat()
    }
}

fn fault(bytes: &[u8]) -> (u8, usize, Fault) {
    match verify_bytes(bytes) {
        Err(CeremonyError::Contribution(place, fault)) => (place.phase, place.number, fault),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_contribution_that_is_dropped_moved_or_repeated_is_named() {
    for phase in [1, 2] {
        let good = cut(&whole(), phase);
        verify_bytes(&good.joined()).unwrap();
        for dropped in 0..2 {
            let mut bad = cut(&whole(), phase);
            bad.contributions.remove(dropped);
            // After the second one comes the beacon, whose secrets depend on all contributions before it.
            let fault_of_next = if dropped == 1 { Fault::Beacon } else { Fault::Proof };
            assert_eq!(fault(&bad.joined()), (phase, dropped + 1, fault_of_next));
        }
        let mut bad = cut(&whole(), phase);
        bad.contributions.swap(0, 1);
        assert_eq!(fault(&bad.joined()), (phase, 1, Fault::Proof));
        let mut bad = cut(&whole(), phase);
        bad.contributions.insert(1, bad.contributions[0].clone());
        assert_eq!(fault(&bad.joined()), (phase, 2, Fault::Proof));
        let mut bad = cut(&whole(), phase);
        bad.contributions.push(bad.contributions[0].clone());
        assert_eq!(fault(&bad.joined()), (phase, 4, Fault::AfterBeacon));
    }
}

#[test]
fn without_the_last_contribution_powers_and_key_have_no_author() {
    let mut first = cut(&powers(), 1);
    first.contributions.pop();
    assert_eq!(verify_bytes(&first.joined()), Err(CeremonyError::Powers("tau, alpha or beta")));
    let mut second = cut(&whole(), 2);
    second.contributions.pop();
    assert_eq!(verify_bytes(&second.joined()), Err(CeremonyError::Key("delta")));
    second.contributions.clear();
    assert_eq!(verify_bytes(&second.joined()), Err(CeremonyError::Key("delta")));
    let mut none = cut(&whole(), 1);
    none.contributions.clear();
    assert_eq!(verify_bytes(&none.joined()), Err(CeremonyError::Powers("tau, alpha or beta")));
}

#[test]
fn a_contribution_of_another_ceremony_is_named() {
    // The same person contributes with the same secret, after somebody else.
    let mut other = Transcript::begin(powers().power()).unwrap();
    add(&mut other, "mallory", 66);
    add(&mut other, "bob", 2);
    let mut bad = cut(&powers(), 1);
    bad.contributions[1] = cut(&other, 1).contributions.remove(1);
    assert_eq!(fault(&bad.joined()), (1, 2, Fault::Proof));
}

#[test]
fn names_origins_and_beacons_are_part_of_what_is_proved() {
    for phase in [1, 2] {
        for (at, value) in [(1, b'A'), (2, b'Z')] {
            let mut bad = cut(&whole(), phase);
            bad.contributions[1][at] = value;
            assert_eq!(fault(&bad.joined()), (phase, 2, Fault::Proof));
        }
        let origin = 1 + "beacon".len();
        let mut value = cut(&whole(), phase);
        value.contributions[2][origin + 1] ^= 1;
        assert_eq!(fault(&value.joined()), (phase, 3, Fault::Beacon));
        let mut often = cut(&whole(), phase);
        often.contributions[2][origin + 33] += 1;
        assert_eq!(fault(&often.joined()), (phase, 3, Fault::Beacon));
        often.contributions[2][origin + 33] = 29;
        assert_eq!(verify_bytes(&often.joined()), Err(CeremonyError::TooSlow));
        let mut claimed = cut(&whole(), phase);
        claimed.contributions[2].drain(origin + 1..origin + 34);
        claimed.contributions[2][origin] = 1;
        assert_eq!(fault(&claimed.joined()), (phase, 3, Fault::Proof));
    }
}

fn write<P: ark_ec::short_weierstrass::SWCurveConfig>(point: &ark_ec::short_weierstrass::Affine<P>) -> Vec<u8> {
    use ark_ff::{BigInteger, Field, PrimeField};
    let coordinates = [point.x, point.y];
    let parts = coordinates.iter().flat_map(|one| {
        let parts: Vec<_> = one.to_base_prime_field_elements().collect();
        parts.into_iter().rev()
    });
    parts.flat_map(|part| part.into_bigint().to_bytes_be()).collect()
}

/// Returns every point of a file of phase 2: its offset, and true if it is of the second group.
fn slots(transcript: &Transcript) -> Vec<(usize, bool)> {
    let size = size_of(transcript);
    let (instances, variables) = (2, 5);
    let mut at = HEAD;
    let mut slots = Vec::new();
    let mut list = |at: &mut usize, count: usize, second: bool| {
        for _ in 0..count {
            slots.push((*at, second));
            *at += if second { SECOND } else { FIRST };
        }
    };
    list(&mut at, 2 * size - 1, false);
    list(&mut at, size, true);
    list(&mut at, 2 * size, false);
    list(&mut at, 1, true);
    at += 2;
    for (name, beacon) in [("alice", 0), ("bob", 0), ("beacon", 33)] {
        at += 2 + name.len() + beacon;
        list(&mut at, 3, false);
        (0..3).for_each(|_| [false, true, false].into_iter().for_each(|second| list(&mut at, 1, second)));
    }
    at += 1 + "cubic".len() + 32 + 8;
    list(&mut at, 1, false);
    list(&mut at, 1, true);
    list(&mut at, instances + 2 * variables, false);
    list(&mut at, variables, true);
    list(&mut at, size - 1 + variables - instances, false);
    at += 2;
    for (name, beacon) in [("carol", 0), ("dave", 0), ("beacon", 33)] {
        at += 2 + name.len() + beacon;
        list(&mut at, 1, false);
        [false, true, false].into_iter().for_each(|second| list(&mut at, 1, second));
    }
    assert_eq!(at, transcript.to_bytes().len());
    slots
}

#[test]
fn every_point_is_bound_to_the_rest() {
    let transcript = whole();
    let bytes = transcript.to_bytes();
    let first: G1Affine = (G1Projective::generator() * ark_bn254::Fr::from(77u64)).into_affine();
    let second: G2Affine = (G2Projective::generator() * ark_bn254::Fr::from(77u64)).into_affine();
    let (first, second) = (write(&first), write(&second));
    for (at, of_second) in slots(&transcript) {
        let other = if of_second { &second } else { &first };
        let mut bad = bytes.clone();
        bad[at..at + other.len()].copy_from_slice(other);
        assert!(verify_bytes(&bad).is_err(), "the point at {at} was replaced");
        bad[at..at + other.len()].fill(0);
        assert!(bad == bytes || verify_bytes(&bad).is_err(), "the point at {at} was taken away");
        bad[at + other.len() - 1] = 1;
        assert!(matches!(verify_bytes(&bad), Err(CeremonyError::Point { .. })), "the point at {at} is off the curve");
    }
}

/// A contributor to the powers has no key that would show a fault in them.
#[test]
fn every_point_of_the_powers_is_bound_to_the_rest_before_there_is_a_key() {
    let transcript = powers();
    let (bytes, size) = (transcript.to_bytes(), size_of(&transcript));
    verify_bytes(&bytes).unwrap();
    let first = write(&(G1Projective::generator() * ark_bn254::Fr::from(77u64)).into_affine());
    let second = write(&(G2Projective::generator() * ark_bn254::Fr::from(77u64)).into_affine());
    let lists = [(2 * size - 1, &first), (size, &second), (2 * size, &first), (1, &second)];
    let mut at = HEAD;
    for other in lists.into_iter().flat_map(|(count, other)| std::iter::repeat_n(other, count)) {
        let mut bad = bytes.clone();
        bad[at..at + other.len()].copy_from_slice(other);
        let refused = verify_bytes(&bad);
        assert!(matches!(refused, Err(CeremonyError::Powers(_))), "the point at {at} was replaced: {refused:?}");
        at += other.len();
    }
    assert_eq!(at, HEAD + powers_bytes(&transcript));
}

#[test]
fn files_that_are_too_short_or_too_long_are_refused() {
    let transcript = whole();
    let bytes = transcript.to_bytes();
    for length in (0..bytes.len()).step_by(37) {
        assert!(Transcript::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
    }
    assert_eq!(Transcript::from_bytes(&[&bytes[..], &[0]].concat()), Err(CeremonyError::Long));
    assert_eq!(Transcript::from_bytes(b"%PDF-1.7"), Err(CeremonyError::Magic("ceremony's file")));
    for (at, value) in [(HEAD - 2, 3), (HEAD - 1, 0), (HEAD - 1, 19)] {
        let mut bad = bytes.clone();
        bad[at] = value;
        assert!(matches!(Transcript::from_bytes(&bad), Err(CeremonyError::Value(_))));
    }
    let key = encode_proving_key(&relation(), &transcript.finish().unwrap());
    for length in (0..key.len()).step_by(37) {
        assert!(decode_proving_key(&relation(), &key[..length]).is_err());
    }
    assert_eq!(decode_proving_key(&relation(), &[&key[..], &[0]].concat()), Err(CeremonyError::Long));
}

#[test]
fn a_key_of_other_powers_is_refused() {
    // An attacker knows the powers' secrets, makes the key from them and lists the honest contributions.
    let mut own = Transcript::begin(powers().power()).unwrap();
    add(&mut own, "mallory", 66);
    let mut own = own.begin_second(&relation(), &mut on).unwrap();
    add(&mut own, "carol", 3);
    add_beacon(&mut own);
    verify(&own).unwrap();
    let (honest, false_powers) = (cut(&whole(), 1), cut(&own, 1));
    let mixed = Cut { before: false_powers.before, contributions: honest.contributions, after: false_powers.after };
    assert_eq!(verify_bytes(&mixed.joined()), Err(CeremonyError::Powers("tau, alpha or beta")));
    let mixed = Cut { before: honest.before, ..cut(&own, 1) };
    assert_eq!(verify_bytes(&mixed.joined()), Err(CeremonyError::Powers("tau, alpha or beta")));
}
