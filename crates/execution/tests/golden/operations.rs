//! Operations drawn at random, of every kind and for every reason to fail.

use crate::common::*;
use crate::pool::{NUMBER, with};
use crate::replay::Replay;
use crate::start::*;
use crate::vectors::Proved;
use rustorium_crypto::{asset_id, value_hash, verifier_id};
use rustorium_execution::*;
use rustorium_types::*;

type Named = BoundedVec<NamedInput, { limits::NAMED_INPUTS_MAX }>;

impl Replay {
    /// Returns an operation that this sender might send.
    pub fn operation(&mut self, sender: usize) -> Operation {
        let random = &mut self.random;
        match random.below(1_500) {
            0..14 => self.shielded(),
            14..32 => self.proof(),
            32..40 => self.verifier(sender),
            40..50 => self.proved(),
            50..580 => self.put(PEOPLE[sender].account),
            580..620 => {
                let namespace = self.other();
                self.put(namespace)
            }
            620..760 => {
                let namespace = if random.one_in(8) { self.other() } else { PEOPLE[sender].account };
                Operation::Delete { namespace, key: self.name() }
            }
            760..880 => self.condition(),
            880..1_180 => self.transfer(sender),
            1_180..1_300 => self.issue(),
            1_300..1_450 => {
                let prefixes = (0..random.below(4)).map(|_| key(random.pick::<&[u8]>(&[b"a/", b"ab", b"", b"c/1"])));
                let prefixes = BoundedVec::new(prefixes.collect()).unwrap();
                Operation::Grant { to: self.other(), prefixes }
            }
            _ => {
                let storage_bytes = *random.pick(&[0, 500, 5_000, 100_000, 1 << 40]);
                let public_key = PEOPLE[FOUNDERS + random.below(CREATED - FOUNDERS)].key;
                Operation::CreateAccount { region: REGION, public_key, storage_bytes }
            }
        }
    }

    /// Returns a change of the committee.
    pub fn change(&mut self) -> Operation {
        let members = CommitteeRecord::read(&MemState(&self.world.state)).unwrap().target;
        let random = &mut self.random;
        let member = random.pick(&members).validator_key;
        let validator_key = if random.one_in(5) { random.pick(&CANDIDATES).validator_key } else { member };
        match random.below(12) {
            0..3 => {
                let mut validator = random.pick(&CANDIDATES).clone();
                match random.below(12) {
                    0 => validator.name = BoundedBytes::new(vec![255]).unwrap(),
                    1 => validator.address = BoundedBytes::new(b"two words".to_vec()).unwrap(),
                    2 => validator.node_key = random.pick(&CANDIDATES).node_key,
                    _ => {}
                }
                Operation::AddValidator { validator }
            }
            3..8 => Operation::RemoveValidator { validator_key },
            8..11 => {
                let (mut new_validator_key, new_node_key) = *random.pick(&SPARE_KEYS);
                if random.one_in(4) {
                    new_validator_key = random.pick(&members).validator_key;
                }
                Operation::ReplaceKey { validator_key, new_validator_key, new_node_key }
            }
            _ => Operation::EndEpoch { epoch: Epoch(self.world.header.epoch.0 + random.below(2) as u64) },
        }
    }

    /// Returns an account: mostly one of the genesis, at times one that doesn't exist.
    fn other(&mut self) -> AccountId {
        let number = match self.random.below(20) {
            0..14 => self.random.below(FOUNDERS),
            14..19 => self.random.below(CREATED),
            _ => CREATED + self.random.below(NUMBERS - CREATED),
        };
        PEOPLE[number].account
    }

    fn name(&mut self) -> Key {
        self.random.pick(&NAMES).clone()
    }

    pub fn put(&mut self, namespace: AccountId) -> Operation {
        let length = match self.random.below(20) {
            0..14 => self.random.below(200),
            14..19 => self.random.below(1_000),
            _ => self.random.below(8_000),
        };
        let value = Value::new(vec![self.random.below(256) as u8; length]).unwrap();
        Operation::Put { namespace, key: self.name(), value }
    }

    fn condition(&mut self) -> Operation {
        let (namespace, key) = (self.other(), self.name());
        Operation::Require(match self.random.below(3) {
            0 => {
                let value = self.world.state.get(&data_key(namespace, key.as_slice()));
                let hash = value.map_or(Hash::ZERO, |value| value_hash(value));
                Condition::ValueHash { namespace, key, hash }
            }
            1 => Condition::Absent { namespace, key },
            _ => {
                let amount = self.random.below(2_000) as u128;
                Condition::BalanceAtLeast { account: namespace, asset: gold(), amount }
            }
        })
    }

    fn transfer(&mut self, sender: usize) -> Operation {
        let own = self.random.one_in(5);
        let asset = if own { asset_id(&PEOPLE[sender].account, b"X") } else { gold() };
        let amount = match self.random.below(20) {
            0 => 0,
            1 => 5_000,
            2 => u128::MAX,
            _ => 1 + self.random.below(10) as u128,
        };
        Operation::Transfer { to: self.other(), asset, amount }
    }

    fn issue(&mut self) -> Operation {
        let symbol = self.random.pick::<&[u8]>(&[b"X", b"X", b"X", b"X", b"X", b"~!16-bytes-long.", b"", b"A B"]);
        let amount = *self.random.pick(&[0, 1, 1_000, 1_000, 1_000_000, 1_000_000, 1_000_000, u128::MAX / 2]);
        Operation::Issue { symbol: Symbol::new(symbol.to_vec()).unwrap(), to: self.other(), amount }
    }

    fn given_proof(&mut self) -> Proved {
        self.random.pick(&self.vectors.proofs).clone()
    }

    fn named(&mut self) -> Named {
        let of = |inputs: &[(u8, bool)]| inputs.iter().map(|&(index, once)| NamedInput { index, once }).collect();
        let named: Vec<NamedInput> = match self.random.below(9) {
            0..4 => of(&[(1, true)]),
            4..8 => of(&[(3, false)]),
            _ => of(&[(9, false)]),
        };
        BoundedVec::new(named).unwrap()
    }

    /// Returns a registration. Only the operators' can succeed, so that proofs are often for a verifier that exists.
    fn verifier(&mut self, sender: usize) -> Operation {
        let (mut key, named) = (self.given_proof().key.0, self.named());
        if sender >= OPERATORS || self.random.one_in(6) {
            key.truncate(key.len() - 1);
        }
        Operation::RegisterVerifier { key: BoundedBytes::new(key).unwrap(), named }
    }

    fn registered(&mut self, key: &[u8]) -> VerifierId {
        let owner = usize::from(self.random.one_in(4));
        verifier_id(&PEOPLE[owner].account, key, &self.named())
    }

    fn proof(&mut self) -> Operation {
        let Proved { key, inputs, proof } = self.given_proof();
        let mut proof = proof.0;
        let mut inputs: Vec<PublicInput> = inputs.into_iter().map(|input| input.0).collect();
        match self.random.below(8) {
            0 => proof.truncate(proof.len() - 1),
            1 => inputs.truncate(3),
            2 => inputs.swap(1, 2),
            _ => {}
        }
        Operation::VerifyProof {
            verifier: self.registered(&key.0),
            inputs: BoundedVec::new(inputs).unwrap(),
            proof: BoundedBytes::new(proof).unwrap(),
        }
    }

    fn proved(&mut self) -> Operation {
        let Proved { key, inputs, .. } = self.given_proof();
        let input = *self.random.pick(&[1u8, 3]);
        let number = InputValue::Number(inputs[usize::from(input)].0);
        let equals = if self.random.one_in(6) { InputValue::ThisTransaction } else { number };
        Operation::Require(Condition::Proved { verifier: self.registered(&key.0), input, equals })
    }

    /// Returns an operation on a pool that fails, or that succeeds only in its own place of the chain.
    fn shielded(&mut self) -> Operation {
        let place = self.random.below(self.vectors.transfers.len() + 1);
        let stored = self.vectors.transfers.get(place).unwrap_or(&self.vectors.late);
        let operation: Operation = decode(&stored.operation.0, limits::TRANSACTION_BYTES_MAX).unwrap();
        let mut fresh = transfer_of(&operation);
        fresh.root = head_of(&self.world, NUMBER).root;
        for nullifier in &mut fresh.nullifiers {
            nullifier[10] = self.random.below(256) as u8;
            nullifier[11] = self.random.below(256) as u8;
        }
        let to = self.other();
        let leave = |pool, amount, transfer| Operation::Unshield {
            pool,
            asset: gold(),
            amount,
            to,
            transfer: Box::new(transfer),
        };
        match self.random.below(24) {
            0..8 => operation,
            8 => with(operation, |transfer| transfer.root = [255; 32]),
            9 => with(operation, |transfer| transfer.proof = [0; 256]),
            10 => with(operation, |transfer| transfer.nullifiers[1] = transfer.nullifiers[0]),
            11 => leave(2, 5, fresh),
            12 => leave(NUMBER, 0, fresh),
            13..16 => leave(NUMBER, 1_000_000, fresh),
            16..18 => leave(NUMBER, 1, fresh),
            18..20 => Operation::ShieldedTransfer { pool: NUMBER, transfer: Box::new(fresh) },
            _ => {
                fresh.root = rustorium_zk::shielded::tree::Tree::default().root().to_bytes();
                leave(FULL_POOL, 5, fresh)
            }
        }
    }
}
