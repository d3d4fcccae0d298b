//! Signatures of activations.

use super::{SigningKey, is_small_order, verify};
use crate::hash::{domain, signed_bytes};
use rustorium_types::{Activation, ActivationBody, PublicKey};

impl SigningKey {
    /// Signs an activation.
    pub fn sign_activation(&self, body: ActivationBody) -> Activation {
        let signature = self.sign(&signed_bytes(domain::ACTIVATION, &body));
        Activation { body, signature }
    }
}

/// Checks an operator's signature on an activation. Nothing holds under a key of small order: anybody could have signed.
pub fn verify_activation(operator: &PublicKey, activation: &Activation) -> bool {
    let signed = signed_bytes(domain::ACTIVATION, &activation.body);
    !is_small_order(operator) && verify(operator, &signed, &activation.signature)
}
