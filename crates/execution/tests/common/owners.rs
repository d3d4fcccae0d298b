//! Transactions of validators' owners as senders of the system's own.

use super::*;
use rustorium_crypto::{SigningKey, domain, signed_bytes};

/// The key of a validator's first owner.
pub fn owner(index: u8) -> SigningKey {
    SigningKey::from_seed(&[120 + index; 32])
}

/// A key that nobody has yet.
pub fn new_key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// The authority of one key alone.
pub fn of_key(key: &SigningKey) -> Authority {
    Authority::of_key(key.public()).unwrap()
}

/// Proof that both keys belong to this owner.
pub fn possession(chain: ChainId, owner_key: PublicKey, validator: &SigningKey, node: &SigningKey) -> Possession {
    let body = PossessionBody { chain, owner_key, validator_key: validator.public(), node_key: node.public() };
    let signed = signed_bytes(domain::POSSESSION, &body);
    Possession { validator: validator.sign(&signed), node: node.sign(&signed) }
}

/// A new owner's signature for a validator that has this key and this owner.
pub fn owned_by(chain: ChainId, validator_key: PublicKey, owner_key: PublicKey, new: &SigningKey) -> Signature {
    let body = OwnerPossessionBody { chain, validator_key, owner_key, new_owner_key: new.public() };
    new.sign(&signed_bytes(domain::OWNER_POSSESSION, &body))
}

impl World {
    /// The validator with this number.
    pub fn validator(&self, number: u32) -> Validator {
        self.committee_record().validator(number).unwrap().clone()
    }

    /// The owner's sender with its next nonce.
    pub fn of_owner(&self, number: u32, key: &SigningKey, operations: Vec<Operation2>) -> Transaction {
        let nonce = OwnerRecord::read(&MemState(&self.state), number).unwrap().nonce;
        let mut first = self.sign_at(0, nonce, vec![]);
        first.body.sender = SystemSender::Owner(number).id();
        with_operations(of_key(key), &first, operations)
    }

    /// Executes a block of one such transaction, and returns its outcome or why it was skipped.
    pub fn owner_does(&mut self, number: u32, key: &SigningKey, operation: Operation2) -> Result<Outcome, Skip> {
        let transaction = self.of_owner(number, key, vec![operation]);
        let execution = self.run_listed(&[transaction]);
        execution.receipts.first().map(|receipt| receipt.outcome).ok_or_else(|| execution.skipped[0].1)
    }

    /// Other keys of a validator: those of a seed and of the next ten.
    pub fn replace_keys(&self, number: u32, seed: u8) -> Operation2 {
        let (own, validator, node) = (self.validator(number), new_key(seed), new_key(seed + 10));
        Operation2::ReplaceKey {
            validator_key: own.validator_key,
            new_validator_key: validator.public(),
            new_node_key: node.public(),
            possession: possession(self.header.chain, own.owner_key, &validator, &node),
        }
    }

    /// Another owner of a validator.
    pub fn set_owner(&self, number: u32, new: &SigningKey) -> Operation2 {
        let Validator { validator_key, owner_key, .. } = self.validator(number);
        let possession = owned_by(self.header.chain, validator_key, owner_key, new);
        Operation2::SetOwner { validator_key, new_owner_key: new.public(), possession }
    }
}

/// The change that seats propose by what an owner would do.
pub fn by_seats(operation: Operation2) -> GovernanceChange {
    match operation {
        Operation2::SetOwner { validator_key, new_owner_key, possession } => {
            GovernanceChange::SetOwner { validator_key, new_owner_key, possession }
        }
        Operation2::ReplaceKey { validator_key, new_validator_key, new_node_key, possession } => {
            GovernanceChange::ReplaceKey { validator_key, new_validator_key, new_node_key, possession }
        }
        other => panic!("{other:?} is no owner's"),
    }
}
