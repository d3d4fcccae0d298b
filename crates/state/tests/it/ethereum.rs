//! Multiproofs of another implementation: rust-verkle's proofs over trees of Ethereum's layout (EIP-6800), read by the
//! minimum of code that turns such a proof into openings. The ledger has another layout; only the multiproof is the
//! same.

use crate::common::{bytes32, element, strings, vectors};
use rustorium_state::{Element, Fr, MultiProof, ProofError, Transcript, VerifierQuery, multiproof, scalar};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Value that the layout has at the end of a stem's path.
#[derive(Clone, Copy, PartialEq)]
enum Found {
    Nothing,
    OtherStem,
    Stem,
}

struct Proof {
    /// Found where proved stems would be, in order.
    other_stems: Vec<[u8; 31]>,
    /// For each stem in order: the depth of its path, and what is there.
    depths: Vec<(usize, Found)>,
    /// By path, without the root.
    commitments: Vec<Element>,
    multiproof: Vec<u8>,
}

fn parse(mut bytes: &[u8]) -> Proof {
    fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
        bytes.split_off(..count).unwrap()
    }
    fn count(bytes: &mut &[u8]) -> usize {
        u32::from_le_bytes(take(bytes, 4).try_into().unwrap()) as usize
    }
    let stems = count(&mut bytes);
    let other_stems = (0..stems).map(|_| take(&mut bytes, 31).try_into().unwrap()).collect();
    let depths = count(&mut bytes);
    let depths = take(&mut bytes, depths).iter().map(|byte| {
        let found = [Found::Nothing, Found::OtherStem, Found::Stem][usize::from(byte & 7)];
        (usize::from(byte >> 3), found)
    });
    let depths = depths.collect();
    let commitments = count(&mut bytes);
    let commitments = take(&mut bytes, commitments * 32).as_chunks::<32>().0;
    Proof {
        other_stems,
        depths,
        commitments: Element::batch_from_bytes(commitments).unwrap(),
        multiproof: bytes.to_vec(),
    }
}

/// Bytes as a number, little-endian.
fn number(bytes: &[u8]) -> Fr {
    let mut padded = [0; 32];
    padded[..bytes.len()].copy_from_slice(bytes);
    scalar::from_bytes(&padded).unwrap()
}

/// The values that are known, by path of the node and index: `None` for those that a child's commitment gives.
type Slots = BTreeMap<(Vec<u8>, u8), Option<Fr>>;

/// The slots of a stem's node, and of the value at its suffix.
fn stem_slots(slots: &mut Slots, path: &[u8], stem: &[u8], suffix: u8, value: Option<[u8; 32]>) {
    let half = 2 + suffix / 128;
    slots.insert((path.to_vec(), 0), Some(Fr::from(1)));
    slots.insert((path.to_vec(), 1), Some(number(stem)));
    slots.insert((path.to_vec(), half), None);
    // A value that is there is marked by a bit above the sixteen bytes of its lower half.
    let marked = |value: [u8; 32]| [number(&[&value[..16], &[1]].concat()), number(&value[16..])];
    let [low, high] = value.map_or([Fr::from(0); 2], marked);
    let in_half = [path, &[half]].concat();
    slots.insert((in_half.clone(), suffix % 128 * 2), Some(low));
    slots.insert((in_half, suffix % 128 * 2 + 1), Some(high));
}

fn queries(proof: &Proof, root: Element, claims: &[([u8; 32], Option<[u8; 32]>)]) -> Vec<VerifierQuery> {
    let stems: BTreeSet<&[u8]> = claims.iter().map(|(key, _)| &key[..31]).collect();
    let ends: BTreeMap<&[u8], (usize, Found)> = stems.into_iter().zip(proof.depths.iter().copied()).collect();
    let mut slots = Slots::new();
    for (key, value) in claims {
        let (stem, suffix) = (&key[..31], key[31]);
        let (depth, found) = ends[stem];
        for at in 0..depth {
            slots.entry((stem[..at].to_vec(), stem[at])).or_insert(None);
        }
        let path = &stem[..depth];
        match found {
            Found::Nothing => assert!(value.is_none()),
            Found::Stem => stem_slots(&mut slots, path, stem, suffix, *value),
            Found::OtherStem => {
                assert!(value.is_none());
                let present = ends.iter().filter(|(_, (_, found))| *found == Found::Stem).map(|(stem, _)| *stem);
                let mut others = present.chain(proof.other_stems.iter().map(|stem| &stem[..]));
                let other = others.find(|other| other.starts_with(path)).unwrap();
                slots.insert((path.to_vec(), 0), Some(Fr::from(1)));
                slots.insert((path.to_vec(), 1), Some(number(other)));
            }
        }
    }
    let paths: BTreeSet<&[u8]> = slots.keys().map(|(path, _)| &path[..]).collect();
    let nodes: BTreeMap<&[u8], Element> =
        paths.into_iter().zip([root].into_iter().chain(proof.commitments.iter().copied())).collect();
    assert_eq!(nodes.len(), proof.commitments.len() + 1);
    let query = |((path, index), value): (&(Vec<u8>, u8), &Option<Fr>)| {
        let child = || nodes.get(&[&path[..], &[*index]].concat()[..]).map_or(Fr::from(0), Element::map_to_field);
        VerifierQuery { commitment: nodes[&path[..]], index: *index, value: value.unwrap_or_else(child) }
    };
    slots.iter().map(query).collect()
}

fn read(case: &Value) -> (Vec<u8>, Vec<VerifierQuery>) {
    let proof = parse(&hex::decode(case["proof_rust_verkle"].as_str().unwrap()).unwrap());
    let values = case["values"].as_array().unwrap().iter().map(|value| value.as_str().map(bytes32));
    let claims: Vec<_> = strings(&case["keys"]).map(bytes32).zip(values).collect();
    let queries = queries(&proof, element(&case["root_commitment"]), &claims);
    (proof.multiproof, queries)
}

fn verify(bytes: &[u8], queries: &[VerifierQuery]) -> Result<(), ProofError> {
    multiproof::verify(&mut Transcript::new(b"vt"), &MultiProof::from_bytes(bytes)?, queries)
}

#[test]
fn proofs_of_another_implementation_hold_and_with_another_value_do_not() {
    let file = vectors("proofs_ethereum.json");
    let cases = file["proofs"].as_array().unwrap();
    assert_eq!(cases.len(), 12);
    for case in cases {
        let (bytes, mut queries) = read(case);
        let name = format!("{} of {}", case["name"], case["tree_n"]);
        assert_eq!(verify(&bytes, &queries), Ok(()), "{name}");
        assert_eq!(MultiProof::from_bytes(&bytes).unwrap().to_bytes()[..], bytes, "{name}");
        let last = queries.len() - 1;
        queries[last].value += Fr::from(1);
        assert_eq!(verify(&bytes, &queries), Err(ProofError::Refused), "{name}");
    }
}

#[test]
fn damaged_proofs_of_another_implementation_are_refused() {
    let file = vectors("proofs_ethereum.json");
    for case in file["proofs"].as_array().unwrap().iter().filter(|case| case["keys"].as_array().unwrap().len() == 1) {
        let (bytes, queries) = read(case);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= [1, 4, 128][at % 3];
            assert!(verify(&damaged, &queries).is_err(), "byte {at} of {}", case["name"]);
        }
    }
}
