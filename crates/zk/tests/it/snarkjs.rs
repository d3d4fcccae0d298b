//! Files of snarkjs are read, and each deviation from their format is refused with its own error.

use crate::common::{file, snarkjs_samples};
use rustorium_zk::snarkjs::{inputs_from_json, key_from_json, proof_from_json};
use rustorium_zk::{Claim, Curve, Document, INPUTS_MAX, Key, Part, Refused, verify_all};
use serde_json::{Value, json};

const CURVES: [Curve; 2] = [Curve::Bn254, Curve::Bls12381];
// The groups' orders and the base fields' moduli, in decimal.
const BN254: [&str; 2] = [
    "21888242871839275222246405745257275088548364400416034343698204186575808495617",
    "21888242871839275222246405745257275088696311157297823662689037894645226208583",
];
const BLS12_381: [&str; 2] = [
    "52435875175126190479447740508185965837690552500527637822603658699938581184513",
    "4002409555221667393417789825735904156556882819939007885332058136124031650490837864442687629129015664037894272559787",
];

fn order(curve: Curve) -> &'static str {
    if curve == Curve::Bn254 { BN254[0] } else { BLS12_381[0] }
}

fn modulus(curve: Curve) -> &'static str {
    if curve == Curve::Bn254 { BN254[1] } else { BLS12_381[1] }
}

/// The sum of two decimal numbers.
fn plus(a: &str, b: &str) -> String {
    let (mut digits, mut carry) = (Vec::new(), 0);
    let (mut a, mut b) = (a.bytes().rev(), b.bytes().rev());
    loop {
        let (x, y) = (a.next(), b.next());
        if x.is_none() && y.is_none() && carry == 0 {
            break;
        }
        let sum = x.map_or(0, |d| d - b'0') + y.map_or(0, |d| d - b'0') + carry;
        digits.push(b'0' + sum % 10);
        carry = sum / 10;
    }
    digits.reverse();
    String::from_utf8(digits).expect("digits")
}

fn document(curve: Curve, name: &str) -> Value {
    serde_json::from_slice(&file(curve, name)).expect("snarkjs writes JSON")
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a value")
}

#[test]
fn proofs_by_snarkjs_verify_alone_and_together() {
    for curve in CURVES {
        let samples = snarkjs_samples(curve);
        let key = Key::from_bytes(&samples.key).expect("a good key");
        assert_eq!((key.curve(), key.inputs(), key.to_bytes()), (curve, 4, samples.key.clone()));
        let claims: Vec<Claim> =
            samples.proofs.iter().map(|s| Claim::new(&key, &s.proof, &s.inputs).expect("well formed")).collect();
        for (claim, sample) in claims.iter().zip(&samples.proofs) {
            assert_eq!(claim.verify(), Ok(()));
            assert_eq!((claim.proof_bytes(), claim.input_bytes()), (sample.proof.clone(), sample.inputs.concat()));
        }
        assert_eq!(verify_all(&claims), [Ok(()), Ok(()), Ok(())]);
        let other = Claim::new(&key, &samples.proofs[0].proof, &samples.proofs[1].inputs).expect("well formed");
        assert_eq!(other.verify(), Err(Refused::NotProved));
    }
}

#[test]
fn a_key_without_contributions_is_refused() {
    for curve in CURVES {
        assert_eq!(key_from_json(&file(curve, "uncontributed_key.json")), Err(Refused::DeltaIsGenerator));
    }
}

/// A change of a JSON document, and the expected error.
type Case = (&'static str, Value, Refused);

#[test]
fn labels_are_exact() {
    for curve in CURVES {
        let other = if curve == Curve::Bn254 { "BN128" } else { "bls12-381" };
        let cases: [Case; 6] = [
            ("protocol", json!("plonk"), Refused::Protocol(Document::Proof, "plonk".into())),
            ("protocol", json!("Groth16"), Refused::Protocol(Document::Proof, "Groth16".into())),
            ("curve", json!(other), Refused::CurveLabel(Document::Proof, other.into())),
            ("curve", json!("bn254"), Refused::CurveLabel(Document::Proof, "bn254".into())),
            ("curve", json!(""), Refused::CurveLabel(Document::Proof, "".into())),
            ("protocol", json!("groth16 "), Refused::Protocol(Document::Proof, "groth16 ".into())),
        ];
        for (field, value, refused) in cases {
            let mut proof = document(curve, "1.proof.json");
            proof[field] = value.clone();
            assert_eq!(proof_from_json(&bytes(&proof)), Err(refused.clone()));
            let mut key = document(curve, "verification_key.json");
            key[field] = value;
            let said = key_from_json(&bytes(&key)).expect_err("a wrong label");
            assert_eq!(std::mem::discriminant(&said), std::mem::discriminant(&refused));
        }
    }
}

#[test]
fn a_proof_labelled_for_the_other_curve_is_refused() {
    let mut proof = document(Curve::Bn254, "1.proof.json");
    proof["curve"] = json!("bls12381");
    assert_eq!(proof_from_json(&bytes(&proof)), Err(Refused::NotOnCurve(Part::A)));
    let key = Key::from_bytes(&snarkjs_samples(Curve::Bn254).key).expect("a good key");
    let sample = &snarkjs_samples(Curve::Bls12381).proofs[0];
    let refused = Claim::new(&key, &sample.proof, &sample.inputs).expect_err("another curve");
    assert_eq!(refused, Refused::OtherCurve { proof: Curve::Bls12381, key: Curve::Bn254 });
}

#[test]
fn numbers_have_one_way_to_be_written() {
    for curve in CURVES {
        let proof = document(curve, "1.proof.json");
        let x = proof["pi_a"][0].as_str().expect("a string").to_owned();
        let forms =
            [format!("0{x}"), format!("+{x}"), format!("-{x}"), format!(" {x}"), format!("{x} "), format!("{x}n")];
        let others = ["", "0x1", "0X1", "1e3", "1.0", "1_0", "-0", "00", "١"].map(str::to_owned);
        for form in forms.into_iter().chain(others) {
            let mut changed = proof.clone();
            changed["pi_a"][0] = json!(form);
            assert_eq!(proof_from_json(&bytes(&changed)), Err(Refused::NotDecimal(Part::A)), "{form:?}");
            let inputs = bytes(&json!(["1", form]));
            assert_eq!(inputs_from_json(&inputs, curve), Err(Refused::NotDecimal(Part::Input(1))), "{form:?}");
        }
        for not_text in [json!(1), json!(null), json!([x]), json!(1.5), json!({ "x": 1 })] {
            let mut changed = proof.clone();
            changed["pi_a"][0] = not_text.clone();
            assert!(matches!(proof_from_json(&bytes(&changed)), Err(Refused::NotJson(Document::Proof, _))));
            let inputs = inputs_from_json(&bytes(&json!([not_text])), curve);
            assert!(matches!(inputs, Err(Refused::NotJson(Document::Inputs, _))));
        }
        let escaped = String::from_utf8(file(curve, "1.public.json")).expect("text").replacen("\"1", "\"\\u0031", 1);
        assert!(matches!(inputs_from_json(escaped.as_bytes(), curve), Err(Refused::NotJson(..))));
    }
}

#[test]
fn numbers_are_below_their_modulus() {
    for curve in CURVES {
        for group in ["pi_a", "pi_c"] {
            for place in 0..2 {
                let mut proof = document(curve, "1.proof.json");
                let small = proof[group][place].as_str().expect("a string").to_owned();
                for number in [plus(&small, modulus(curve)), modulus(curve).into(), "9".repeat(400)] {
                    proof[group][place] = json!(number);
                    let part = if group == "pi_a" { Part::A } else { Part::C };
                    assert_eq!(proof_from_json(&bytes(&proof)), Err(Refused::CoordinateNotReduced(part)));
                }
            }
        }
        let mut proof = document(curve, "1.proof.json");
        proof["pi_b"][1][0] = json!(plus(proof["pi_b"][1][0].as_str().expect("a string"), modulus(curve)));
        assert_eq!(proof_from_json(&bytes(&proof)), Err(Refused::CoordinateNotReduced(Part::B)));
        let public = document(curve, "1.public.json");
        let first = public[0].as_str().expect("a string");
        for number in [plus(first, order(curve)), order(curve).into(), "1".repeat(100)] {
            let said = inputs_from_json(&bytes(&json!([number])), curve);
            assert_eq!(said, Err(Refused::InputNotReduced(Part::Input(0))), "{number}");
        }
        assert!(inputs_from_json(&bytes(&json!(["0"])), curve).is_ok());
    }
}

#[test]
fn points_are_affine() {
    for curve in CURVES {
        for z in ["0", "2", "01", "", "1 "] {
            let mut proof = document(curve, "1.proof.json");
            proof["pi_c"][2] = json!(z);
            assert_eq!(proof_from_json(&bytes(&proof)), Err(Refused::NotAffine(Part::C)));
        }
        for z in [json!(["0", "0"]), json!(["1", "1"]), json!(["0", "1"]), json!(["1", ""])] {
            let mut proof = document(curve, "1.proof.json");
            proof["pi_b"][2] = z;
            assert_eq!(proof_from_json(&bytes(&proof)), Err(Refused::NotAffine(Part::B)));
        }
        // Infinity, as snarkjs writes it, isn't affine; as coordinates it is no point.
        let mut proof = document(curve, "1.proof.json");
        proof["pi_a"] = json!(["0", "1", "0"]);
        assert_eq!(proof_from_json(&bytes(&proof)), Err(Refused::NotAffine(Part::A)));
        proof["pi_a"] = json!(["0", "0", "1"]);
        assert_eq!(proof_from_json(&bytes(&proof)), Err(Refused::Identity(Part::A)));
    }
}

#[test]
fn documents_have_their_fields_and_no_others() {
    for curve in CURVES {
        let refused = |value: &Value| {
            matches!(proof_from_json(&bytes(value)), Err(Refused::NotJson(Document::Proof, _)))
                && matches!(key_from_json(&bytes(value)), Err(Refused::NotJson(Document::Key, _)))
        };
        for value in [json!(null), json!([]), json!({}), json!("text"), json!(7)] {
            assert!(refused(&value), "{value}");
        }
        let proof = document(curve, "1.proof.json");
        let without = |field: &str| {
            let mut proof = proof.clone();
            proof.as_object_mut().expect("an object").remove(field);
            proof
        };
        for field in ["protocol", "curve", "pi_a", "pi_b", "pi_c"] {
            assert!(matches!(proof_from_json(&bytes(&without(field))), Err(Refused::NotJson(Document::Proof, _))));
        }
        let mut more = proof.clone();
        more["extra"] = json!(1);
        assert!(matches!(proof_from_json(&bytes(&more)), Err(Refused::NotJson(Document::Proof, _))));
        let twice = String::from_utf8(bytes(&proof)).expect("text").replacen('{', "{\"curve\": \"bn128\",", 1);
        assert!(matches!(proof_from_json(twice.as_bytes()), Err(Refused::NotJson(Document::Proof, _))));
        let mut left = bytes(&proof);
        left.extend(b" {}");
        assert!(matches!(proof_from_json(&left), Err(Refused::NotJson(Document::Proof, _))));
        for shape in [json!(["1", "2"]), json!(["1", "2", "1", "1"]), json!([["1", "2"], ["1", "2"], ["1", "0"]])] {
            let mut changed = proof.clone();
            changed["pi_a"] = shape;
            assert!(matches!(proof_from_json(&bytes(&changed)), Err(Refused::NotJson(Document::Proof, _))));
        }
        assert!(proof_from_json(&file(curve, "1.proof.json")[1..]).is_err());
        let long = [bytes(&proof), vec![b' '; 1 << 20]].concat();
        assert_eq!(proof_from_json(&long), Err(Refused::TooLong(Document::Proof, long.len())));
    }
}

#[test]
fn a_key_has_one_point_more_than_inputs() {
    for curve in CURVES {
        for declared in [0, 3, 5, u64::MAX] {
            let mut key = document(curve, "verification_key.json");
            key["nPublic"] = json!(declared);
            assert_eq!(key_from_json(&bytes(&key)), Err(Refused::IcLength { declared, points: 5 }));
        }
        let mut key = document(curve, "verification_key.json");
        key["IC"].as_array_mut().expect("a list").pop();
        assert_eq!(key_from_json(&bytes(&key)), Err(Refused::IcLength { declared: 4, points: 4 }));
        key["IC"] = json!([]);
        assert_eq!(key_from_json(&bytes(&key)), Err(Refused::IcLength { declared: 4, points: 0 }));
        for wrong in [json!("4"), json!(-4), json!(4.0), json!(null)] {
            key["nPublic"] = wrong;
            assert!(matches!(key_from_json(&bytes(&key)), Err(Refused::NotJson(Document::Key, _))));
        }
        let point = document(curve, "verification_key.json")["IC"][0].clone();
        key["nPublic"] = json!(INPUTS_MAX + 1);
        key["IC"] = json!(vec![point; INPUTS_MAX + 2]);
        assert_eq!(key_from_json(&bytes(&key)), Err(Refused::TooManyInputs(INPUTS_MAX + 1)));
        let inputs = bytes(&json!(vec!["1"; INPUTS_MAX + 1]));
        assert_eq!(inputs_from_json(&inputs, curve), Err(Refused::TooManyInputs(INPUTS_MAX + 1)));
    }
}
