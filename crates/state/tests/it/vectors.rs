//! The published vectors of group, CRS, commitments, transcript, IPA and multiproof.

use crate::common::{bytes32, element, saw, scalar_le, strings, vectors};
use rustorium_state::{
    Element, Fr, IpaProof, MultiProof, ProverQuery, Transcript, WIDTH, commit, crs, ipa, msm, multiproof, scalar,
};
use sha2::{Digest, Sha256};
use std::iter::successors;

#[test]
fn group_elements_have_the_published_encodings() {
    let file = vectors("banderwagon.json");
    let doublings: Vec<Element> = successors(Some(Element::generator()), |last| Some(*last + *last)).take(16).collect();
    let hex: Vec<String> = Element::batch_to_bytes(&doublings).iter().map(hex::encode).collect();
    assert_eq!(hex, strings(&file["generator_doublings"]["hex"]).collect::<Vec<_>>());
    for (doubling, hex) in doublings.iter().zip(&hex) {
        assert_eq!(Element::from_bytes(&bytes32(hex)), Ok(*doubling));
    }
    let mapped = scalar_le(&file["map_to_scalar_field_of_generator_le"]["hex"]);
    assert_eq!(Element::generator().map_to_field(), mapped);
}

#[test]
fn no_published_bad_string_decodes() {
    let file = vectors("banderwagon.json");
    let bad: Vec<[u8; 32]> = strings(&file["must_not_deserialise"]["hex"]).map(bytes32).collect();
    assert_eq!(bad.len(), 16);
    for bytes in bad {
        assert!(Element::from_bytes(&bytes).is_err());
    }
}

#[test]
fn the_crs_is_the_published_one_and_comes_from_its_seed() {
    let want = &vectors("ipa.json")["crs"];
    let points = Element::batch_to_bytes(&crs::crs().g);
    assert_eq!(hex::encode(points[0]), want["point_0"].as_str().unwrap());
    assert_eq!(hex::encode(points[255]), want["point_255"].as_str().unwrap());
    let hash = Sha256::digest(points.concat());
    assert_eq!(hex::encode(hash), want["sha256_of_256_serialised_points"].as_str().unwrap());
    assert_eq!(crs::SEED, want["seed"].as_str().unwrap().as_bytes());
    assert_eq!(crs::derive(WIDTH), crs::crs().g);
    assert_eq!(crs::crs().q, Element::generator());
    assert_eq!(crs::encode(&crs::derive(WIDTH)), include_bytes!("../../src/crs.bin"));
}

#[test]
fn whole_nodes_have_the_published_commitments() {
    let file = vectors("commit_256.json");
    let cases = file["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let scalars = strings(&case["frs"]).map(|hex| {
            let mut bytes = bytes32(hex);
            bytes.reverse();
            scalar::from_bytes(&bytes).unwrap()
        });
        let scalars: [Fr; WIDTH] = scalars.collect::<Vec<_>>().try_into().unwrap();
        let want = element(&case["expected"]);
        assert_eq!(commit(&scalars), want);
        let terms: Vec<(Element, Fr)> = crs::crs().g.into_iter().zip(scalars).collect();
        assert_eq!(msm::msm(&terms), want);
    }
}

/// Carries out steps of the form `name("label",value)`.
fn run_transcript(steps: &[&str]) -> Fr {
    let mut transcript = Transcript::new(b"");
    let mut challenge = None;
    for step in steps {
        let (name, rest) = step.split_once("(\"").unwrap();
        let (label, rest) = rest.split_once('"').unwrap();
        let value = rest.trim_matches([',', ')']);
        match name {
            "new" => transcript = Transcript::new(label.as_bytes()),
            "challenge" => challenge = Some(transcript.challenge(label.as_bytes())),
            "domain_sep" => transcript.domain(label.as_bytes()),
            "append_point" => {
                assert_eq!(value, "G");
                transcript.append_element(label.as_bytes(), &Element::generator());
            }
            "append_scalar" => {
                transcript.append_scalar(label.as_bytes(), &Fr::from(value.parse::<i64>().unwrap()));
            }
            other => panic!("no step {other}"),
        }
    }
    challenge.unwrap()
}

#[test]
fn transcripts_draw_the_published_challenges() {
    let file = vectors("ipa.json");
    for case in file["transcript"]["cases"].as_array().unwrap() {
        let steps: Vec<&str> = strings(&case["steps"]).collect();
        assert_eq!(run_transcript(&steps), scalar_le(&case["challenge"]), "{steps:?}");
    }
}

#[test]
fn the_inner_product_proof_is_the_published_one() {
    let want = &vectors("ipa.json")["ipa_proof"];
    let polynomial = saw();
    let commitment = commit(&polynomial);
    assert_eq!(commitment, element(&want["commitment"]));
    let point = Fr::from(want["open_at"].as_u64().unwrap());
    let value = scalar_le(&want["evaluation_le"]);
    let mut transcript = Transcript::new(b"test");
    let proof = ipa::prove(&mut transcript, &commitment, &polynomial, point);
    assert_eq!(hex::encode(proof.to_bytes()), want["proof"].as_str().unwrap());
    let state = scalar_le(&want["prover_challenge_state_le"]);
    assert_eq!(transcript.challenge(b"state"), state);
    let decoded = IpaProof::from_bytes(&proof.to_bytes()).unwrap();
    let mut transcript = Transcript::new(b"test");
    assert_eq!(decoded.verify(&mut transcript, &commitment, point, value), Ok(()));
    assert_eq!(transcript.challenge(b"state"), state);
}

#[test]
fn the_multiproof_is_the_published_one() {
    let want = &vectors("ipa.json")["multiproof"];
    let (a, mut b) = (saw(), saw());
    b.reverse();
    let queries: Vec<ProverQuery<'_>> = want["queries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|query| {
            let polynomial = if query["poly"] == "a" { &a } else { &b };
            let index = u8::try_from(query["point"].as_u64().unwrap()).unwrap();
            assert_eq!(polynomial[usize::from(index)], Fr::from(query["y"].as_u64().unwrap()));
            ProverQuery { commitment: commit(polynomial), polynomial, index }
        })
        .collect();
    let mut transcript = Transcript::new(b"test");
    let proof = multiproof::prove(&mut transcript, &queries);
    assert_eq!(hex::encode(proof.to_bytes()), want["proof"].as_str().unwrap());
    let state = scalar_le(&want["prover_challenge_state_le"]);
    assert_eq!(transcript.challenge(b"state"), state);
    let decoded = MultiProof::from_bytes(&proof.to_bytes()).unwrap();
    let opened: Vec<_> = queries.iter().map(ProverQuery::opened).collect();
    let mut transcript = Transcript::new(b"test");
    assert_eq!(multiproof::verify(&mut transcript, &decoded, &opened), Ok(()));
    assert_eq!(transcript.challenge(b"state"), state);
}
