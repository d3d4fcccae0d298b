//! A small circuit, and ceremonies of it with fixed secrets.

use std::num::NonZeroU64;
use std::ops::ControlFlow;

use ark_ff::AdditiveGroup;
use ark_relations::gr1cs::{
    ConstraintSynthesizer, ConstraintSystem, ConstraintSystemRef, OptimizationGoal, SynthesisError, SynthesisMode,
};
use rustorium_types::{AssetId, ChainId};
use rustorium_zk::ceremony::{Beacon, CeremonyError, ChainHash, Relation, Source, Transcript, Verified};
use rustorium_zk::shielded::field::Element;
use rustorium_zk::shielded::keys::SpendingKey;
use rustorium_zk::shielded::note::{AssetTag, Pool};
use rustorium_zk::shielded::prove::Matrices;
use rustorium_zk::shielded::scan::{ViewingKey, Wallet};
use rustorium_zk::shielded::transfer::{Flow, UnprovenTransfer, prepare};
use rustorium_zk::shielded::wire::{Circuit, Wire};

/// x³ + x + `plus` = y, of which y is public.
pub struct Cubic {
    pub plus: u64,
    pub x: Element,
}

impl Cubic {
    pub fn y(&self) -> Element {
        self.x * self.x * self.x + self.x + Element::from(self.plus)
    }
}

impl ConstraintSynthesizer<Element> for Cubic {
    fn generate_constraints(self, system: ConstraintSystemRef<Element>) -> Result<(), SynthesisError> {
        let circuit = Circuit::new(system);
        let (y, x) = (circuit.public(self.y())?, circuit.private(self.x)?);
        let cube = circuit.product(&circuit.product(&x, &x)?, &x)?;
        let mut left = cube.plus(&x);
        for _ in 0..self.plus {
            left = left.plus(&Wire::one());
        }
        circuit.enforce_equal(&left, &y)
    }
}

pub fn relation_of(name: &str, plus: u64) -> Relation {
    let system = ConstraintSystem::new_ref();
    system.set_optimization_goal(OptimizationGoal::Constraints);
    system.set_mode(SynthesisMode::Setup);
    Cubic { plus, x: Element::ZERO }.generate_constraints(system.clone()).unwrap();
    Relation::new(name, Matrices::of(&system).unwrap())
}

pub fn relation() -> Relation {
    relation_of("cubic", 5)
}

pub fn on(_: usize, _: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub fn add(transcript: &mut Transcript, name: &str, byte: u8) -> ChainHash {
    let source = Source::Random { entropy: &[byte; 32], typed: b"typed" };
    transcript.contribute(name, &source, &mut on).unwrap()
}

pub const BEACON: Beacon = Beacon { value: [9; 32], log2: 4 };

pub fn add_beacon(transcript: &mut Transcript) -> ChainHash {
    transcript.contribute("beacon", &Source::Beacon(BEACON), &mut on).unwrap()
}

/// Phase 1 with three contributions, the last of them a beacon.
pub fn powers() -> Transcript {
    let mut transcript = Transcript::begin(relation().power().unwrap()).unwrap();
    add(&mut transcript, "alice", 1);
    add(&mut transcript, "bob", 2);
    add_beacon(&mut transcript);
    transcript
}

/// Phase 2 after it, also with three.
pub fn whole() -> Transcript {
    let mut transcript = powers().begin_second(&relation(), &mut on).unwrap();
    add(&mut transcript, "carol", 3);
    add(&mut transcript, "dave", 4);
    add_beacon(&mut transcript);
    transcript
}

pub fn verify(transcript: &Transcript) -> Result<Vec<Verified>, CeremonyError> {
    transcript.verify(Some(&relation()), &mut on)
}

/// Reads and verifies a file.
pub fn verify_bytes(bytes: &[u8]) -> Result<Vec<Verified>, CeremonyError> {
    verify(&Transcript::from_bytes(bytes)?)
}

/// Returns a transfer of shielded value without its proof.
pub fn transfer() -> UnprovenTransfer {
    let pool = Pool { chain: ChainId([7; 32]), number: 1 };
    let key = SpendingKey::derive(&[1; 32], 0);
    let wallet = Wallet::new(ViewingKey::Full(key.viewing().clone()));
    let flow = NonZeroU64::new(1_000).map(Flow::In);
    let plan = wallet.plan(pool, AssetTag::new(&pool, &AssetId([1; 32])), None, flow).unwrap();
    prepare(&key, &plan, b"context", &[9; 32]).unwrap()
}
