//! The evidence that operators ended version 1.

use super::read::check_read;
use super::refused::ProofRefused;
use crate::activation::ActivationBasis;
use rustorium_crypto::{block_digest, parameters_hash};
use rustorium_types::{ACTIVATION_KEY, AccountId, ActivationBody, Charter, FirstTerm, Subject};

/// Checks that the evidence of a first term of version 2 shows its activation: the values of exactly a quorum of
/// operators, under the boundary's own header. The caller checks that the boundary is final.
///
/// # Errors
/// [`ProofRefused`].
pub fn check_first_term(first: &FirstTerm) -> Result<ActivationBody, ProofRefused> {
    let FirstTerm { change, parameters, activation } = first;
    let boundary = &change.boundary;
    if parameters_hash(parameters) != boundary.parameters {
        return Err(ProofRefused::OtherSettings);
    }
    // The boundary and its proof are there twice, and nothing else is: each first term has one encoding.
    let same = activation.header == *boundary && activation.proof == change.proof && activation.others.is_empty();
    if !same {
        return Err(ProofRefused::NoActivation);
    }
    check_read(activation, &Charter::whole(boundary.shard), || Ok(block_digest(boundary)))?;
    let mut shown: Vec<(AccountId, &[u8])> = Vec::new();
    for (subject, value) in activation.entries.iter() {
        match (subject, value) {
            (Subject::Value(account, key), Some(value)) if key.as_slice() == ACTIVATION_KEY => {
                shown.push((*account, value.as_slice()));
            }
            _ => return Err(ProofRefused::NoActivation),
        }
    }
    let accounts: Vec<AccountId> = shown.iter().map(|(account, _)| *account).collect();
    match ActivationBasis::of(boundary, parameters).decide(shown) {
        Some(activated) if activated.accounts == accounts => Ok(activated.body),
        _ => Err(ProofRefused::NoActivation),
    }
}
