//! A proving key and a witness as snarkjs' files (`.zkey`, `.wtns`), so that it can prove what we prove.
//!
//! Its H points are at other points of the domain than arkworks': the proof that it makes of ours costs the same and doesn't
//! hold.

use ark_bn254::{Bn254, Fq, Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ff::{BigInteger, BigInteger256, One, PrimeField};
use ark_groth16::ProvingKey;
use rustorium_zk::shielded::prove::Matrices;

const GROTH16: u32 = 1;

/// A file of sections, as iden3's tools have them.
fn file(magic: &[u8; 4], version: u32, sections: &[Vec<u8>]) -> Vec<u8> {
    let mut out = magic.to_vec();
    out.extend(version.to_le_bytes());
    out.extend((sections.len() as u32).to_le_bytes());
    for (number, section) in (1u32..).zip(sections) {
        out.extend(number.to_le_bytes());
        out.extend((section.len() as u64).to_le_bytes());
        out.extend_from_slice(section);
    }
    out
}

fn limbs(number: BigInteger256, out: &mut Vec<u8>) {
    out.extend(number.to_bytes_le());
}

/// In Montgomery's form, as it lies in memory.
fn coordinate(value: Fq, out: &mut Vec<u8>) {
    limbs(value.0, out);
}

fn first(points: &[G1Affine]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 * points.len());
    for point in points {
        let (x, y) = point.xy().unwrap_or_default();
        for part in [x, y] {
            coordinate(part, &mut out);
        }
    }
    out
}

fn second(points: &[G2Affine]) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 * points.len());
    for point in points {
        let (x, y) = point.xy().unwrap_or_default();
        for part in [x.c0, x.c1, y.c0, y.c1] {
            coordinate(part, &mut out);
        }
    }
    out
}

/// The entries of A and B, those that tie the public inputs among them; a value times R².
fn entries(matrices: &Matrices) -> Vec<u8> {
    let (mut out, mut count) = (Vec::new(), 0u32);
    let mut write = |matrix: u32, row: usize, variable: usize, value: Fr| {
        for number in [matrix, row as u32, variable as u32] {
            out.extend(number.to_le_bytes());
        }
        limbs(Fr::from_bigint(value.0).unwrap_or_default().0, &mut out);
        count += 1;
    };
    for row in 0..matrices.constraints() {
        for (matrix, terms) in (0u32..).zip(&matrices.row(row)[..2]) {
            terms.iter().for_each(|(value, variable)| write(matrix, row, *variable, *value));
        }
    }
    for input in 0..matrices.instances() {
        write(0, matrices.constraints() + input, input, Fr::one());
    }
    [count.to_le_bytes().to_vec(), out].concat()
}

/// The `.zkey` of a proving key.
pub fn key(key: &ProvingKey<Bn254>, matrices: &Matrices) -> Vec<u8> {
    let mut head = Vec::new();
    head.extend(32u32.to_le_bytes());
    limbs(Fq::MODULUS, &mut head);
    head.extend(32u32.to_le_bytes());
    limbs(Fr::MODULUS, &mut head);
    let domain = key.h_query.len() + 1;
    for count in [matrices.instances() + matrices.witnesses(), matrices.instances() - 1, domain] {
        head.extend((count as u32).to_le_bytes());
    }
    head.extend(first(&[key.vk.alpha_g1, key.beta_g1]));
    head.extend(second(&[key.vk.beta_g2, key.vk.gamma_g2]));
    head.extend(first(&[key.delta_g1]));
    head.extend(second(&[key.vk.delta_g2]));
    let quotient = [&key.h_query[..], &key.h_query[..1]].concat();
    let sections = [
        GROTH16.to_le_bytes().to_vec(),
        head,
        first(&key.vk.gamma_abc_g1),
        entries(matrices),
        first(&key.a_query),
        first(&key.b_g1_query),
        second(&key.b_g2_query),
        first(&key.l_query),
        first(&quotient),
        vec![0; 64 + 4],
    ];
    file(b"zkey", 1, &sections)
}

/// The `.wtns` of an assignment.
pub fn witness(values: &[Fr]) -> Vec<u8> {
    let mut head = 32u32.to_le_bytes().to_vec();
    limbs(Fr::MODULUS, &mut head);
    head.extend((values.len() as u32).to_le_bytes());
    let mut list = Vec::with_capacity(32 * values.len());
    values.iter().for_each(|value| limbs(value.into_bigint(), &mut list));
    file(b"wtns", 2, &[head, list])
}
