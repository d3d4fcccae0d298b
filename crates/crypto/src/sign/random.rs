//! The operations that need the operating system's randomness: new keys, and one equation for many signatures.

use super::SigningKey;
use ed25519_zebra::{Signature as ZebraSignature, VerificationKeyBytes, batch};
use getrandom::SysRng;
use rand_core::{Rng, TryCryptoRng, TryRng, UnwrapErr};
use rustorium_types::{PublicKey, Signature};
use std::convert::Infallible;
use zeroize::Zeroizing;

impl SigningKey {
    /// Generates a key from the operating system's randomness.
    pub fn generate() -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        UnwrapErr(SysRng).fill_bytes(&mut *seed);
        Self::from_seed(&seed)
    }
}

/// Draws 32 bytes from the operating system's randomness.
pub fn random_secret() -> [u8; 32] {
    let mut secret = [0; 32];
    UnwrapErr(SysRng).fill_bytes(&mut secret);
    secret
}

/// The random weights of a batch's equation: one draw from the operating system a batch, stretched by BLAKE3's XOF,
/// instead of a system call a signature. Nobody can foresee it before the batch is fixed, which is enough for
/// soundness.
struct BatchRng(blake3::OutputReader);

impl BatchRng {
    fn new() -> Self {
        let mut seed = [0; 32];
        UnwrapErr(SysRng).fill_bytes(&mut seed);
        Self(blake3::Hasher::new_keyed(&seed).finalize_xof())
    }
}

impl TryRng for BatchRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for BatchRng {}

/// Checks all `(key, bytes, signature)` by one equation.
pub(super) fn verify_together(items: &[(&PublicKey, &[u8], &Signature)]) -> bool {
    crate::work::count(|work| {
        work.groups += 1;
        work.grouped += items.len() as u64;
    });
    let mut verifier = batch::Verifier::new();
    for (key, bytes, signature) in items {
        verifier.queue((VerificationKeyBytes::from(**key), ZebraSignature::from(**signature), bytes));
    }
    verifier.verify(BatchRng::new()).is_ok()
}
