//! The Fiat–Shamir transcript: the prover's messages go in, the verifier's challenges come out.
//!
//! *Invariants:* a challenge depends on all that was appended before it, in order, with its labels.
//!
//! Source: the transcript of EIP-6800's references (SHA-256 over the concatenation; each challenge starts the next
//! state). Labels and messages have no lengths of their own, so a protocol's sequence of appends must be unambiguous:
//! here all messages are 32 bytes and the labels are fixed by the step.

use crate::group::{Element, Fr};
use crate::scalar;
use sha2::{Digest, Sha256};

/// The running state of one proof.
#[derive(Clone, Debug)]
pub struct Transcript(Sha256);

impl Transcript {
    /// Starts a transcript. The label keeps proofs of different protocols apart.
    pub fn new(label: &[u8]) -> Self {
        Self(Sha256::new_with_prefix(label))
    }

    /// Marks the start of a sub-protocol.
    pub fn domain(&mut self, label: &[u8]) {
        self.0.update(label);
    }

    /// Appends an element.
    pub fn append_element(&mut self, label: &[u8], element: &Element) {
        self.append_bytes(label, &element.to_bytes());
    }

    /// Appends an element that is already encoded.
    pub(crate) fn append_bytes(&mut self, label: &[u8], encoded: &[u8; 32]) {
        self.0.update(label);
        self.0.update(encoded);
    }

    /// Appends a scalar.
    pub fn append_scalar(&mut self, label: &[u8], scalar: &Fr) {
        self.append_bytes(label, &scalar::to_bytes(scalar));
    }

    /// Draws a challenge: a hash of 256 bits modulo an order of 253 bits. The likeliest values have probability 9/2^256
    /// and the others 8/2^256, as in the specification.
    pub fn challenge(&mut self, label: &[u8]) -> Fr {
        self.domain(label);
        let challenge = scalar::from_hash(&self.0.finalize_reset().into());
        self.append_scalar(label, &challenge);
        challenge
    }
}
