//! Who governs, by the rules of the specification: steps of histories, and what they make of seats, proposals and owners.

use crate::common::*;
use proptest::prelude::*;
use rustorium_crypto::{SigningKey, parameters_hash};
use rustorium_types::*;
use std::collections::{BTreeMap, BTreeSet};

/// One step of a history. Seats and proposals are chosen among those that there are.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A seat proposes a change of this kind, open for so many seconds.
    Propose(u8, Kind, u16),
    /// A seat approves a proposal, which may be gone.
    Approve(u8, u8),
    /// A seat takes an approval back.
    Withdraw(u8, u8),
    /// A seat gets another key.
    Rotate(u8),
    /// The owner of a validator sets another one, or replaces the validator's key if true.
    Own(u8, bool),
    /// So many seconds go by.
    Wait(u16),
    /// The next epoch begins.
    Boundary,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Another length of epochs; made for the parameters as they were at first if true.
    Epochs(u8, bool),
    /// Other operators: the keys of accounts, from one on, as many; with the least or the largest quorum.
    Operators(u8, u8, bool),
    /// A pause of all accounts, for so many seconds.
    Pause(u16),
    /// Another owner of a validator.
    Owner(u8),
    /// A change that is never possible.
    Bad,
}

pub fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        (any::<u8>(), any::<bool>()).prop_map(|(hours, old)| Kind::Epochs(hours % 20, old)),
        (0..6u8, 1..5u8, any::<bool>()).prop_map(|(from, count, least)| Kind::Operators(from, count, least)),
        (1..1_000u16).prop_map(Kind::Pause),
        any::<u8>().prop_map(Kind::Owner),
        Just(Kind::Bad),
    ];
    prop_oneof![
        4 => (any::<u8>(), kind, 1..2_000u16).prop_map(|(seat, kind, seconds)| Step::Propose(seat, kind, seconds)),
        8 => any::<(u8, u8)>().prop_map(|(seat, number)| Step::Approve(seat, number)),
        2 => any::<(u8, u8)>().prop_map(|(seat, number)| Step::Withdraw(seat, number)),
        1 => any::<u8>().prop_map(Step::Rotate),
        3 => any::<(u8, bool)>().prop_map(|(validator, key)| Step::Own(validator, key)),
        1 => (1..900u16).prop_map(Step::Wait),
        2 => Just(Step::Boundary),
    ]
}

pub struct Held {
    pub number: u32,
    pub first: usize,
    /// The account whose key acts for the seat now.
    pub key: usize,
    pub generation: u32,
}

pub struct Open {
    pub seat: u32,
    pub change: GovernanceChange,
    pub until_ms: u64,
    /// The operators and their quorum when it was proposed.
    pub age: u32,
    pub approved: BTreeSet<(u32, u32)>,
    /// True if the change was made and waits (V46).
    pub made: bool,
}

/// A validator and its owner.
pub struct Owned {
    pub validator: SigningKey,
    pub owner: SigningKey,
    /// The owner's turns of this epoch: other keys, another owner.
    pub turns: (bool, bool),
}

/// The key of a number, which nobody else has.
pub fn fresh(number: usize) -> SigningKey {
    SigningKey::from_seed(&rustorium_crypto::hash(b"ways on", &[&number.to_le_bytes()]))
}

/// Who governs, by the rules of the specification.
pub struct Model {
    pub seats: Vec<Held>,
    pub quorum: u8,
    pub age: u32,
    pub next_seat: u32,
    pub next_proposal: u64,
    pub open: BTreeMap<u64, Open>,
    pub wanted: Parameters,
    pub in_force: Parameters,
    pub rotations: usize,
    pub pause_ms: u64,
    /// The proposal of the operators that wait, and the time from which boundaries take them.
    pub wait: (u64, u64),
    pub owned: Vec<Owned>,
    /// Number of keys that were made.
    pub made: usize,
    /// The keys of new owners by their numbers, with the keys of validator and owner for which they signed.
    pub signed: BTreeMap<PublicKey, (usize, PublicKey, PublicKey)>,
}

pub const KEYS: usize = 10;

impl Model {
    pub fn new(parameters: &Parameters) -> Self {
        let mut model = Self {
            seats: Vec::new(),
            quorum: parameters.operator_quorum,
            age: 0,
            next_seat: 0,
            next_proposal: 1,
            open: BTreeMap::new(),
            wanted: parameters.clone(),
            in_force: parameters.clone(),
            rotations: 0,
            pause_ms: 0,
            wait: (0, 0),
            owned: (0..VALIDATORS)
                .map(|index| Owned { validator: validator_key(index), owner: owner(index), turns: (false, false) })
                .collect(),
            made: 0,
            signed: BTreeMap::new(),
        };
        model.take_seats();
        model
    }

    pub fn take_seats(&mut self) {
        let mut seats = Vec::new();
        for key in self.in_force.operators.iter() {
            let first = (0..KEYS).find(|number| signer(*number).public() == *key).unwrap();
            match self.seats.iter().position(|seat| seat.first == first) {
                Some(place) => seats.push(self.seats.swap_remove(place)),
                None => {
                    seats.push(Held { number: self.next_seat, first, key: first, generation: 0 });
                    self.next_seat += 1;
                }
            }
        }
        self.seats = seats;
    }

    pub fn boundary(&mut self, time_ms: u64) {
        self.owned.iter_mut().for_each(|one| one.turns = (false, false));
        let (operators, operator_quorum) = (self.in_force.operators.clone(), self.in_force.operator_quorum);
        let first = Parameters { operators, operator_quorum, ..self.wanted.clone() };
        if first != self.in_force {
            self.in_force = first;
        } else if time_ms >= self.wait.1 {
            self.in_force = self.wanted.clone();
        }
        let same =
            self.seats.iter().map(|seat| signer(seat.first).public()).eq(self.in_force.operators.iter().copied());
        if !same || self.quorum != self.in_force.operator_quorum {
            self.quorum = self.in_force.operator_quorum;
            self.age += 1;
            self.take_seats();
        }
    }

    pub fn check(&self, change: &GovernanceChange, now_ms: u64) -> Result<(), FailureCode> {
        let now = parameters_hash(&self.wanted);
        let based = |base: &Hash| if *base == now { Ok(()) } else { Err(FailureCode::StaleProposal) };
        match change {
            GovernanceChange::SetParameters { base, parameters } => {
                let same = parameters.operators == self.wanted.operators
                    && parameters.operator_quorum == self.wanted.operator_quorum;
                if !same {
                    return Err(FailureCode::BadParameters);
                }
                based(base)
            }
            GovernanceChange::SetOperators { base, .. } => based(base),
            GovernanceChange::RemoveValidator { .. } => Err(FailureCode::NoSuchValidator),
            GovernanceChange::SetOwner { new_owner_key, .. } => self.place_of(new_owner_key).map(|_| ()),
            GovernanceChange::Pause { until_ms, .. } if *until_ms <= now_ms => Err(FailureCode::BadTime),
            _ => Ok(()),
        }
    }

    /// Makes a change. Returns true if it waits.
    pub fn apply(&mut self, change: GovernanceChange, (number, all, now_ms): (u64, bool, u64)) -> bool {
        let before = (self.wanted.operators.clone(), self.wanted.operator_quorum);
        match change {
            GovernanceChange::SetParameters { parameters, .. } => self.wanted = parameters,
            GovernanceChange::SetOperators { operators, quorum, .. } => {
                (self.wanted.operators, self.wanted.operator_quorum) = (operators, quorum);
            }
            GovernanceChange::Pause { until_ms, .. } => self.pause_ms = until_ms,
            GovernanceChange::SetOwner { new_owner_key, .. } => {
                let place = self.place_of(&new_owner_key).unwrap();
                self.owned[place].owner = fresh(self.signed[&new_owner_key].0);
            }
            _ => unreachable!("no history makes another one"),
        }
        let operators = |p: &Parameters| (p.operators.clone(), p.operator_quorum);
        if operators(&self.wanted) == before {
            return false;
        }
        let delay_ms = self.in_force.operators_delay_ms.unwrap();
        let waits = !all && delay_ms > 0 && operators(&self.wanted) != operators(&self.in_force);
        self.wait = if waits { (number, now_ms + delay_ms) } else { (0, 0) };
        waits
    }

    /// The validator that a new owner's signature is for.
    pub fn place_of(&self, new: &PublicKey) -> Result<usize, FailureCode> {
        let (_, validator, owner) = self.signed[new];
        let place = self.owned.iter().position(|one| one.validator.public() == validator);
        let place = place.ok_or(FailureCode::NoSuchValidator)?;
        if self.owned[place].owner.public() == owner { Ok(place) } else { Err(FailureCode::NotPossessed) }
    }

    pub fn is_live(&self, open: &Open, now_ms: u64) -> bool {
        open.age == self.age && open.until_ms > now_ms
    }

    pub fn counted(&self, open: &Open) -> usize {
        self.seats.iter().filter(|seat| open.approved.contains(&(seat.number, seat.generation))).count()
    }

    pub fn propose(
        &mut self,
        seat: usize,
        change: GovernanceChange,
        until_ms: u64,
        now_ms: u64,
    ) -> Result<(), FailureCode> {
        self.check(&change, now_ms)?;
        let (number, generation) = (self.seats[seat].number, self.seats[seat].generation);
        let own = self.open.values().filter(|open| open.seat == number && self.is_live(open, now_ms)).count();
        if self.quorum > 1 && own >= 4 {
            return Err(FailureCode::TooManyProposals);
        }
        self.next_proposal += 1;
        if self.quorum <= 1 {
            self.apply(change, (self.next_proposal - 1, true, now_ms));
            return Ok(());
        }
        let approved = BTreeSet::from([(number, generation)]);
        let open = Open { seat: number, change, until_ms, age: self.age, approved, made: false };
        self.open.insert(self.next_proposal - 1, open);
        Ok(())
    }

    pub fn approve(&mut self, seat: usize, number: u64, now_ms: u64) -> Result<(), FailureCode> {
        let own = (self.seats[seat].number, self.seats[seat].generation);
        let Some(open) = self.open.get(&number).filter(|open| open.until_ms > now_ms) else {
            return Err(FailureCode::NoSuchProposal);
        };
        if open.age != self.age {
            return Err(FailureCode::StaleProposal);
        }
        if open.approved.contains(&own) {
            return Err(FailureCode::AlreadyApproved);
        }
        let (count, made) = (self.counted(open) + 1, open.made);
        let all = count >= self.seats.len();
        if made && all {
            self.open.remove(&number);
            if self.wait.0 == number {
                self.wait = (0, 0);
            }
            return Ok(());
        }
        if made || count < usize::from(self.quorum) {
            self.open.get_mut(&number).unwrap().approved.insert(own);
            return Ok(());
        }
        self.check(&open.change, now_ms)?;
        let change = open.change.clone();
        if self.apply(change, (number, all, now_ms)) {
            let open = self.open.get_mut(&number).unwrap();
            open.made = open.approved.insert(own);
        } else {
            self.open.remove(&number);
        }
        Ok(())
    }

    pub fn withdraw(&mut self, seat: usize, number: u64, now_ms: u64) -> Result<(), FailureCode> {
        let own = (self.seats[seat].number, self.seats[seat].generation);
        let Some(open) = self.open.get_mut(&number).filter(|open| open.until_ms > now_ms) else {
            return Err(FailureCode::NoSuchProposal);
        };
        if open.age != self.age {
            return Err(FailureCode::StaleProposal);
        }
        let proposed = open.seat == own.0;
        if !open.approved.remove(&own) && !proposed {
            return Err(FailureCode::NoSuchProposal);
        }
        if proposed || self.counted(&self.open[&number]) == 0 {
            self.open.remove(&number);
        }
        Ok(())
    }
}
