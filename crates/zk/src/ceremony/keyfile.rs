//! A proving key as a file: circuit, heads, and the points that a prover adds up.

use ark_bn254::Bn254;
use ark_groth16::ProvingKey;

use super::error::CeremonyError;
use super::points::Reader;
use super::relation::Relation;
use super::setup;
use crate::shielded::prove::Prover;

const MAGIC: &[u8] = b"rustorium-proving-key/v1\0";
const WHAT: &str = "proving key";

/// Returns the canonical bytes of a circuit's proving key.
pub fn encode_proving_key(relation: &Relation, key: &ProvingKey<Bn254>) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(relation.digest());
    out.extend_from_slice(&(key.h_query.len() as u32).to_le_bytes());
    setup::write_heads(key, &mut out);
    setup::write(key, &mut out);
    out
}

/// Decodes a proving key, which must be one of this circuit. All points are checked to be in their groups. The
/// ceremony's transcript proves that they belong together.
pub fn decode_proving_key(relation: &Relation, bytes: &[u8]) -> Result<ProvingKey<Bn254>, CeremonyError> {
    let mut reader = Reader::new(bytes, MAGIC, WHAT)?;
    let digest: [u8; 32] = reader.array("the circuit's hash")?;
    if digest != *relation.digest() {
        let short = |digest: &[u8; 32]| digest[..4].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        return Err(CeremonyError::Circuit { found: short(&digest), wanted: short(relation.digest()) });
    }
    let quotient = reader.long("the number of its points")?;
    if quotient + 1 != 1 << relation.power()? {
        return Err(CeremonyError::Value("the number of its points"));
    }
    let heads = setup::Heads::read(&mut reader)?;
    let key = setup::read(&mut reader, heads, quotient, relation.instances(), relation.variables())?;
    reader.end()?;
    crate::check_key(&crate::encode_key(&key.vk))?;
    Ok(key)
}

/// Opens a prover with the proving key in `bytes`. Others verify its proofs under the key `verifying` (canonical
/// bytes). Errors: those of [`decode_proving_key`], and `OtherKey` if it makes proofs for another verifying key.
pub fn open_prover(relation: Relation, bytes: &[u8], verifying: &[u8]) -> Result<Prover, CeremonyError> {
    let key = decode_proving_key(&relation, bytes)?;
    let own = crate::encode_key(&key.vk);
    if own != verifying {
        let hash = |key: &[u8]| blake3::hash(key).to_hex().to_string();
        return Err(CeremonyError::OtherKey { found: hash(&own), wanted: hash(verifying) });
    }
    Ok(Prover::new(key, relation.into_matrices()))
}
