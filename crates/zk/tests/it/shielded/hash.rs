//! Poseidon agrees with circomlib and light-poseidon; each element has one encoding.

use ark_bn254::Fr;
use ark_ff::{MontFp, UniformRand};
use light_poseidon::parameters::bn254_x5;
use light_poseidon::{Poseidon, PoseidonHasher, PoseidonParameters};
use proptest::prelude::*;
use rustorium_zk::shielded::field::{Element, element_bytes, element_from_bytes};
use rustorium_zk::shielded::note::{NullifierKey, Pool};
use rustorium_zk::shielded::poseidon::{HashDomain, Permutation, hash_2, hash_3, hash_4, hash_node};

fn plain<const WIDTH: usize>(inputs: &[Element]) -> Element {
    let state = std::array::from_fn(|at| if at == 0 { Fr::from(0u64) } else { inputs[at - 1] });
    let Ok(state) = Permutation::<WIDTH>::published().apply(state);
    state[0]
}

/// circomlib's own test, test/poseidoncircuit.js.
#[test]
fn circomlibs_vectors() {
    let of_two: Fr = MontFp!("7853200120776062878684798364095072458815029376092732009249414926327459813530");
    let of_four: Fr = MontFp!("18821383157269793795438455681495246036402687001665670618754263018637548127333");
    let numbers: Vec<Fr> = (1..=4u64).map(Fr::from).collect();
    assert_eq!(plain::<3>(&numbers[..2]), of_two);
    assert_eq!(plain::<5>(&numbers), of_four);
    assert_eq!(hash_node(&[numbers[0], numbers[1], numbers[2], numbers[3]]), of_four);
}

fn parameters(width: u8) -> PoseidonParameters<Fr> {
    bn254_x5::get_poseidon_parameters(width).unwrap()
}

#[test]
fn the_constants_in_the_files_are_light_poseidons() {
    let files = [
        (3, include_bytes!("../../../src/shielded/poseidon_3.bin").as_slice()),
        (4, include_bytes!("../../../src/shielded/poseidon_4.bin")),
        (5, include_bytes!("../../../src/shielded/poseidon_5.bin")),
    ];
    for (width, file) in files {
        let PoseidonParameters { ark, mds, .. } = parameters(width);
        let numbers: Vec<u8> = ark.iter().chain(mds.iter().flatten()).flat_map(element_bytes).collect();
        assert_eq!(file, numbers, "width {width}");
    }
}

#[test]
fn every_width_is_light_poseidons() {
    fn check<const WIDTH: usize>() {
        let mut random = ark_std::test_rng();
        let PoseidonParameters { ark, mds, .. } = parameters(WIDTH as u8);
        let permutation = Permutation::<WIDTH>::new(&ark, &mds);
        for _ in 0..3 {
            let state: [Fr; WIDTH] = std::array::from_fn(|_| Fr::rand(&mut random));
            let mut reference = Poseidon::<Fr>::with_domain_tag_circom(WIDTH - 1, state[0]).unwrap();
            let Ok(out) = permutation.apply(state);
            assert_eq!(out[0], reference.hash(&state[1..]).unwrap(), "width {WIDTH}");
        }
    }
    check::<2>();
    check::<3>();
    check::<4>();
    check::<5>();
    check::<6>();
    check::<9>();
    check::<13>();
}

#[test]
fn domains_are_the_capacity() {
    let numbers: Vec<Fr> = (5..=8u64).map(Fr::from).collect();
    let reference = |inputs: &[Fr], domain: HashDomain| {
        let mut poseidon = Poseidon::<Fr>::with_domain_tag_circom(inputs.len(), Fr::from(domain as u8)).unwrap();
        poseidon.hash(inputs).unwrap()
    };
    let [a, b, c, d] = [numbers[0], numbers[1], numbers[2], numbers[3]];
    let Ok(owner) = hash_2(HashDomain::Owner, [a, b]);
    assert_eq!(owner, reference(&numbers[..2], HashDomain::Owner));
    let Ok(nullifier) = hash_3(HashDomain::Nullifier, [a, b, c]);
    assert_eq!(nullifier, reference(&numbers[..3], HashDomain::Nullifier));
    let Ok(note) = hash_4(HashDomain::Note, [a, b, c, d]);
    assert_eq!(note, reference(&numbers, HashDomain::Note));
    assert_ne!(note, hash_node(&[a, b, c, d]));
}

#[test]
fn an_element_has_one_encoding() {
    let largest = -Fr::from(1u64);
    let mut bytes = element_bytes(&largest);
    assert_eq!(element_from_bytes(&bytes).unwrap(), largest);
    bytes[31] += 1;
    assert_eq!(
        bytes.as_slice(),
        hex::decode("30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001").unwrap()
    );
    assert!(element_from_bytes(&bytes).is_err());
    assert!(element_from_bytes(&[0xff; 32]).is_err());
}

proptest! {
    #[test]
    fn elements_come_back(bytes in prop::array::uniform32(any::<u8>())) {
        match element_from_bytes(&bytes) {
            Ok(element) => prop_assert_eq!(element_bytes(&element), bytes),
            Err(_) => prop_assert!(bytes.as_slice() >= element_bytes(&-Fr::from(1u64)).as_slice()),
        }
    }
}

#[test]
fn nullifiers_bind_note_place_key_pool_and_chain() {
    use rustorium_types::{AssetId, ChainId};
    use rustorium_zk::shielded::keys::SpendingKey;
    use rustorium_zk::shielded::note::{AssetTag, Note};

    let keys = [SpendingKey::derive(&[1; 32], 0), SpendingKey::derive(&[1; 32], 1)];
    let key = |at: usize| -> &NullifierKey { keys[at].viewing().nullifier_key() };
    let note = |chain: u8, pool: u32, asset: u8, value: u64| {
        let pool = Pool { chain: ChainId([chain; 32]), number: pool };
        let asset = AssetTag::new(&pool, &AssetId([asset; 32]));
        Note { asset, value, owner: keys[0].address().owner, blinding: Element::from(5u64) }
    };
    let all = [
        note(1, 1, 1, 1).nullifier(key(0), 0),
        note(2, 1, 1, 1).nullifier(key(0), 0),
        note(1, 2, 1, 1).nullifier(key(0), 0),
        note(1, 1, 2, 1).nullifier(key(0), 0),
        note(1, 1, 1, 2).nullifier(key(0), 0),
        note(1, 1, 1, 1).nullifier(key(1), 0),
        note(1, 1, 1, 1).nullifier(key(0), 1),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(all[..at].iter().all(|other| other != one), "nullifier {at} is another's");
    }
    assert_eq!(all[0], note(1, 1, 1, 1).nullifier(key(0), 0));
}
