//! Proofs hold for what they prove and for nothing else: round trips, wrong claims, damaged bytes.

use proptest::prelude::*;
use rustorium_state::{
    Element, Fr, GroupError, IpaProof, MultiProof, ProofError, ProverQuery, Transcript, VerifierQuery, WIDTH, commit,
    ipa, multiproof, scalar,
};

const LABEL: &[u8] = b"test";

/// Returns a polynomial with distinct values, determined by its seed.
fn polynomial(seed: u8) -> [Fr; WIDTH] {
    std::array::from_fn(|i| scalar::from_hash(&[[seed, 1, 2, i as u8]; 8].concat().try_into().unwrap()))
}

struct Node {
    polynomial: [Fr; WIDTH],
    commitment: Element,
}

fn node(polynomial: [Fr; WIDTH]) -> Node {
    Node { commitment: commit(&polynomial), polynomial }
}

fn query(node: &Node, index: u8) -> ProverQuery<'_> {
    ProverQuery { commitment: node.commitment, polynomial: &node.polynomial, index }
}

fn prove(queries: &[ProverQuery<'_>]) -> (MultiProof, Vec<VerifierQuery>) {
    let proof = multiproof::prove(&mut Transcript::new(LABEL), queries);
    (proof, queries.iter().map(ProverQuery::opened).collect())
}

fn verify(proof: &MultiProof, queries: &[VerifierQuery]) -> Result<(), ProofError> {
    multiproof::verify(&mut Transcript::new(LABEL), proof, queries)
}

/// One opening of each kind of node: dense, sparse, constant, empty.
fn example() -> (Vec<Node>, Vec<u8>) {
    let mut sparse = [Fr::from(0); WIDTH];
    sparse[7] = -Fr::from(1);
    let nodes = [polynomial(1), polynomial(2), sparse, [Fr::from(5); WIDTH], [Fr::from(0); WIDTH]];
    (nodes.into_iter().map(node).collect(), vec![0, 255, 7, 9, 200])
}

#[test]
fn nodes_of_every_kind_open_everywhere() {
    let (nodes, indices) = example();
    let one_each: Vec<_> = nodes.iter().zip(indices).map(|(node, index)| query(node, index)).collect();
    let (proof, opened) = prove(&one_each);
    assert_eq!(verify(&proof, &opened), Ok(()));
    assert_eq!(MultiProof::from_bytes(&proof.to_bytes()), Ok(proof));
    let everywhere: Vec<_> = nodes.iter().flat_map(|node| (0..=255).map(|index| query(node, index))).collect();
    let (proof, mut opened) = prove(&everywhere);
    assert_eq!(verify(&proof, &opened), Ok(()));
    opened[700].value += Fr::from(1);
    assert_eq!(verify(&proof, &opened), Err(ProofError::Refused));
}

#[test]
fn hundreds_of_nodes_open_at_once() {
    // Enough nodes that sums are computed with buckets.
    let nodes: Vec<Node> = (0..=255).map(|seed| node(polynomial(seed))).collect();
    let queries: Vec<_> = nodes.iter().enumerate().map(|(i, node)| query(node, (i % 40) as u8)).collect();
    let (proof, mut opened) = prove(&queries);
    assert_eq!(verify(&proof, &opened), Ok(()));
    opened.swap(3, 43);
    assert_eq!(verify(&proof, &opened), Err(ProofError::Refused));
}

#[test]
fn every_damaged_byte_and_length_is_refused() {
    let (nodes, indices) = example();
    let queries: Vec<_> = nodes.iter().zip(indices).take(3).map(|(node, index)| query(node, index)).collect();
    let (proof, opened) = prove(&queries);
    let bytes = proof.to_bytes();
    let check = |bytes: &[u8]| MultiProof::from_bytes(bytes).and_then(|proof| verify(&proof, &opened));
    assert_eq!(check(&bytes), Ok(()));
    for at in 0..bytes.len() {
        for bit in [0, 2, 7] {
            let mut damaged = bytes;
            damaged[at] ^= 1 << bit;
            assert!(check(&damaged).is_err(), "byte {at}, bit {bit}");
        }
    }
    let longer = [&bytes[..], &[0]].concat();
    for wrong in [&bytes[..0], &bytes[..31], &bytes[..575], &longer] {
        assert_eq!(check(wrong), Err(ProofError::Length { got: wrong.len(), want: 576 }));
    }
}

#[test]
fn parts_in_other_places_are_refused() {
    let (nodes, indices) = example();
    let queries: Vec<_> = nodes.iter().zip(indices).map(|(node, index)| query(node, index)).collect();
    let (proof, opened) = prove(&queries);
    let bytes = proof.to_bytes();
    for (one, other) in [(0, 32), (32, 64), (32, 32 + 256), (64, 512)] {
        let mut swapped = bytes;
        swapped[one..one + 32].copy_from_slice(&bytes[other..other + 32]);
        swapped[other..other + 32].copy_from_slice(&bytes[one..one + 32]);
        let swapped = MultiProof::from_bytes(&swapped).unwrap();
        assert_eq!(verify(&swapped, &opened), Err(ProofError::Refused));
    }
    // All points neutral and all scalars zero, as a prover without knowledge could send them.
    let nothing = MultiProof::from_bytes(&[0; MultiProof::BYTES]).unwrap();
    assert_eq!(verify(&nothing, &opened), Err(ProofError::Refused));
}

#[test]
fn wrong_commitments_labels_and_empty_claims_are_refused() {
    let (nodes, _) = example();
    let wrong = ProverQuery { commitment: nodes[1].commitment, ..query(&nodes[0], 3) };
    let (proof, opened) = prove(&[wrong]);
    assert_eq!(verify(&proof, &opened), Err(ProofError::Refused));
    let (proof, opened) = prove(&[query(&nodes[0], 3)]);
    let other = multiproof::verify(&mut Transcript::new(b"other"), &proof, &opened);
    assert_eq!(other, Err(ProofError::Refused));
    let (proof, opened) = prove(&[]);
    assert_eq!(verify(&proof, &opened), Err(ProofError::Empty));
}

#[test]
fn numbers_that_are_not_canonical_are_named() {
    let (nodes, _) = example();
    let bytes = prove(&[query(&nodes[0], 3)]).0.to_bytes();
    let mut large = bytes;
    large[575] |= 0x80;
    assert_eq!(MultiProof::from_bytes(&large), Err(ProofError::Scalar(scalar::ScalarError)));
    let mut large = bytes;
    large[0] |= 0x80;
    assert_eq!(MultiProof::from_bytes(&large), Err(ProofError::Point(GroupError::Coordinate)));
}

#[test]
fn inner_product_proofs_hold_inside_and_outside_the_domain_and_when_damaged_nowhere() {
    let node = node(polynomial(9));
    let value_at = |point: Fr| {
        // Two ways to compute a value of the polynomial: here Newton's, from the values alone.
        let mut rest: Vec<Fr> = node.polynomial.to_vec();
        let (mut sum, mut product) = (Fr::from(0), Fr::from(1));
        for order in 0..WIDTH as u64 {
            sum += rest[0] * product;
            product *= (point - Fr::from(order)) / Fr::from(order + 1);
            rest = rest.windows(2).map(|pair| pair[1] - pair[0]).collect();
        }
        sum
    };
    for point in [Fr::from(0), Fr::from(255), Fr::from(256), -Fr::from(1)] {
        let value = value_at(point);
        let proof = ipa::prove(&mut Transcript::new(LABEL), &node.commitment, &node.polynomial, point);
        let check = |proof: &IpaProof, commitment, point, value| {
            proof.verify(&mut Transcript::new(LABEL), commitment, point, value)
        };
        assert_eq!(check(&proof, &node.commitment, point, value), Ok(()));
        let one = Fr::from(1);
        assert_eq!(check(&proof, &node.commitment, point, value + one), Err(ProofError::Refused));
        assert_eq!(check(&proof, &node.commitment, point + one, value), Err(ProofError::Refused));
        assert_eq!(check(&proof, &Element::generator(), point, value), Err(ProofError::Refused));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn claims_hold_as_they_were_made_and_no_other_way(
        picks in prop::collection::vec((0u8..4, any::<u8>()), 1..7),
        at in any::<prop::sample::Index>(),
        delta in 1u8..=255,
    ) {
        let nodes: Vec<Node> = (0..5).map(|seed| node(polynomial(seed))).collect();
        let queries: Vec<_> = picks.iter().map(|(which, index)| query(&nodes[usize::from(*which)], *index)).collect();
        let (proof, opened) = prove(&queries);
        prop_assert_eq!(verify(&proof, &opened), Ok(()));
        prop_assert_eq!(MultiProof::from_bytes(&proof.to_bytes()), Ok(proof.clone()));
        let at = at.index(opened.len());
        let change = |change: &dyn Fn(&mut Vec<VerifierQuery>)| {
            let mut claims = opened.clone();
            change(&mut claims);
            verify(&proof, &claims)
        };
        let refused = Err(ProofError::Refused);
        prop_assert_eq!(change(&|claims| claims[at].value += Fr::from(delta)), refused);
        prop_assert_eq!(change(&|claims| claims[at].index = claims[at].index.wrapping_add(delta)), refused);
        prop_assert_eq!(change(&|claims| claims[at].commitment = nodes[4].commitment), refused);
        prop_assert_eq!(change(&|claims| claims[at].commitment = -claims[at].commitment), refused);
        prop_assert_eq!(change(&|claims| claims.push(claims[at])), refused);
        let dropped = change(&|claims| { claims.remove(at); });
        prop_assert_eq!(dropped, Err(if opened.len() == 1 { ProofError::Empty } else { ProofError::Refused }));
        let reversed = change(&|claims| claims.reverse());
        prop_assert_eq!(reversed.is_ok(), opened.iter().eq(opened.iter().rev()));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..700), cut in any::<bool>()) {
        let mut bytes = bytes;
        if cut {
            bytes.resize(MultiProof::BYTES, 0);
        }
        if let Ok(proof) = MultiProof::from_bytes(&bytes) {
            prop_assert_eq!(proof.to_bytes().to_vec(), bytes);
        }
    }
}
