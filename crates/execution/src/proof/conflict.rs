//! Evidence that a committee made two blocks final of which only one can be final.
//!
//! *Invariants:* the same two headers convince everybody who trusts the committee, whoever shows them; the signers of
//! both are named, and nothing else is concluded.

use super::light::Light;
use super::refused::ProofRefused;
use rustorium_types::{BlockDigest, End, Header, HeaderProof, Validator, ValidatorIndex};

impl Light {
    /// Checks that two headers are final in one epoch and contradict each other. Returns the validators that signed
    /// both.
    ///
    /// # Errors
    /// [`ProofRefused`]; `OtherEpoch` if changes must be followed first.
    pub fn check_conflict(
        &self,
        first: &HeaderProof,
        second: &HeaderProof,
    ) -> Result<Vec<(ValidatorIndex, Validator)>, ProofRefused> {
        let epoch = first.header.epoch;
        let Some(trust) = self.committees.trusts.get(&epoch) else {
            let trusted = self.known_up_to(epoch).unwrap_or(self.committees.anchor.epoch);
            return Err(ProofRefused::OtherEpoch { header: epoch, trusted });
        };
        let digest = trust.check_final(&first.header, &first.proof)?;
        let other = trust.check_final(&second.header, &second.proof)?;
        let conflict = contradict((&first.header, digest), (&second.header, other));
        if !conflict {
            return Err(ProofRefused::NoConflict);
        }
        let signed = |proof: &HeaderProof, signer: ValidatorIndex| {
            proof.proof.finalization.signatures.iter().any(|(other, _)| *other == signer)
        };
        let places = (0..).map(ValidatorIndex).zip(trust.validators.iter());
        let both = places.filter(|(place, _)| signed(first, *place) && signed(second, *place));
        Ok(both.map(|(place, validator)| (place, validator.clone())).collect())
    }
}

/// Tells if two final headers of one epoch can't be of one chain.
fn contradict((first, digest): (&Header, BlockDigest), (second, other): (&Header, BlockDigest)) -> bool {
    let named = |header: &Header, digest| match header.end {
        End::GoesOn => None,
        End::Boundary => Some(digest),
        End::Closing(boundary) => Some(boundary),
    };
    let above = |header: &Header, boundary: &Header| boundary.end == End::Boundary && header.height >= boundary.height;
    match (named(first, digest), named(second, other)) {
        (None, None) => first.height == second.height && digest != other,
        (Some(end), Some(another)) => end != another,
        (None, Some(_)) => above(first, second),
        (Some(_), None) => above(second, first),
    }
}
