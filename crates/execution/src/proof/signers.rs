//! The validators whose signatures made a header final, for people.
//!
//! *Invariants:* only checked signatures count; a label stands for one validator of the committee, and holds nothing that a
//! terminal acts on or that a list of labels is divided by.

use super::final_header::Trust;
use super::light::Light;
use rustorium_crypto::verify_certificate;
use rustorium_types::{BlockDigest, BlockProof, Epoch, Header, PublicKey, Validator, ValidatorIndex};

/// Number of bytes of a key that a label shows.
const KEY_BYTES_SHOWN: usize = 8;
/// Characters of a label besides letters and digits.
const MARKS: &str = " -_.:/@+#&'()";

/// The validators whose signatures made a header final.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signers {
    /// A label of each, in the committee's order: its name, followed by the first 16 hex digits of its key if another
    /// validator has the same name. If the name is empty or holds other characters than a label may, the digits alone.
    pub labels: Vec<String>,
    /// Number of validators in the committee.
    pub validators: usize,
    /// True if the validators' owners signed instead of the validators (R33).
    pub by_owners: bool,
}

/// A header that was checked, and the places of those who signed it or its descendant. There are none if the header is the
/// trusted block itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CheckedHeader {
    pub(super) digest: BlockDigest,
    epoch: Epoch,
    signers: Vec<ValidatorIndex>,
    by_owners: bool,
}

impl CheckedHeader {
    /// Notes the signers of a header whose certificate `trust` has accepted.
    pub(super) fn new(trust: &Trust, header: &Header, digest: BlockDigest, proof: &BlockProof) -> Self {
        if digest == trust.digest {
            return Self { digest, epoch: trust.epoch, signers: Vec::new(), by_owners: false };
        }
        let signers = proof.finalization.signatures.iter().map(|(signer, _)| *signer).collect();
        let last = proof.descendants.last().unwrap_or(header);
        Self { digest, epoch: trust.epoch, signers, by_owners: last.ends_epoch() && !by_keys(trust, proof) }
    }
}

impl Light {
    /// Returns the validators that signed a header, or its descendant, that was checked here. `None` if the header isn't
    /// among those checked last, if it is the trusted block itself, or if its committee was forgotten.
    pub fn signers(&self, digest: BlockDigest) -> Option<Signers> {
        let header = self.checked.iter().find(|one| one.digest == digest && !one.signers.is_empty())?;
        let all = self.committees.trusts.get(&header.epoch)?.validators.as_slice();
        let signers = header.signers.iter().filter_map(|place| all.get(usize::from(place.0)));
        let labels = signers.map(|signer| label(signer, all)).collect();
        Some(Signers { labels, validators: all.len(), by_owners: header.by_owners })
    }
}

/// Tells if the validators' own keys made a certificate.
fn by_keys(trust: &Trust, proof: &BlockProof) -> bool {
    let keys: Vec<PublicKey> = trust.validators.iter().map(|validator| validator.validator_key).collect();
    verify_certificate(&keys, proof.finalization.clone()).is_some()
}

fn label(validator: &Validator, all: &[Validator]) -> String {
    let key: String = validator.validator_key[..KEY_BYTES_SHOWN].iter().map(|byte| format!("{byte:02x}")).collect();
    let name = String::from_utf8_lossy(validator.name.as_slice());
    if name.is_empty() || !name.chars().all(|one| one.is_alphanumeric() || MARKS.contains(one)) {
        return key;
    }
    let namesakes = all.iter().filter(|other| other.name == validator.name).count();
    if namesakes > 1 { format!("{name} {key}") } else { name.into_owned() }
}
