//! Histories of seats against a model that is written here anew, and from each state that they reach a way on (V44, V45).
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use proptest::prelude::*;
use rustorium_crypto::{SigningKey, parameters_hash};
use rustorium_execution::*;
use rustorium_types::*;
use std::collections::{BTreeMap, BTreeSet};

/// One step of a history. Seats and proposals are chosen among those that there are.
#[derive(Clone, Copy, Debug)]
enum Step {
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
enum Kind {
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

fn step() -> impl Strategy<Value = Step> {
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

struct Held {
    number: u32,
    first: usize,
    /// The account whose key acts for the seat now.
    key: usize,
    generation: u32,
}

struct Open {
    seat: u32,
    change: GovernanceChange,
    until_ms: u64,
    /// The operators and their quorum when it was proposed.
    age: u32,
    approved: BTreeSet<(u32, u32)>,
}

/// A validator and its owner.
struct Owned {
    validator: SigningKey,
    owner: SigningKey,
    /// The owner's turns of this epoch: other keys, another owner.
    turns: (bool, bool),
}

/// The key of a number, which nobody else has.
fn fresh(number: usize) -> SigningKey {
    SigningKey::from_seed(&rustorium_crypto::hash(b"ways on", &[&number.to_le_bytes()]))
}

/// Who governs, by the rules of the specification.
struct Model {
    seats: Vec<Held>,
    quorum: u8,
    age: u32,
    next_seat: u32,
    next_proposal: u64,
    open: BTreeMap<u64, Open>,
    wanted: Parameters,
    in_force: Parameters,
    rotations: usize,
    pause_ms: u64,
    owned: Vec<Owned>,
    /// Number of keys that were made.
    made: usize,
    /// The keys of new owners by their numbers, with the keys of validator and owner for which they signed.
    signed: BTreeMap<PublicKey, (usize, PublicKey, PublicKey)>,
}

const KEYS: usize = 10;

impl Model {
    fn new(parameters: &Parameters) -> Self {
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
            owned: (0..VALIDATORS)
                .map(|index| Owned { validator: validator_key(index), owner: owner(index), turns: (false, false) })
                .collect(),
            made: 0,
            signed: BTreeMap::new(),
        };
        model.take_seats();
        model
    }

    fn take_seats(&mut self) {
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

    fn boundary(&mut self) {
        self.owned.iter_mut().for_each(|one| one.turns = (false, false));
        let (operators, operator_quorum) = (self.in_force.operators.clone(), self.in_force.operator_quorum);
        let first = Parameters { operators, operator_quorum, ..self.wanted.clone() };
        self.in_force = if first == self.in_force { self.wanted.clone() } else { first };
        let same =
            self.seats.iter().map(|seat| signer(seat.first).public()).eq(self.in_force.operators.iter().copied());
        if !same || self.quorum != self.in_force.operator_quorum {
            self.quorum = self.in_force.operator_quorum;
            self.age += 1;
            self.take_seats();
        }
    }

    fn check(&self, change: &GovernanceChange, now_ms: u64) -> Result<(), FailureCode> {
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

    fn apply(&mut self, change: GovernanceChange) {
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
    }

    /// The validator that a new owner's signature is for.
    fn place_of(&self, new: &PublicKey) -> Result<usize, FailureCode> {
        let (_, validator, owner) = self.signed[new];
        let place = self.owned.iter().position(|one| one.validator.public() == validator);
        let place = place.ok_or(FailureCode::NoSuchValidator)?;
        if self.owned[place].owner.public() == owner { Ok(place) } else { Err(FailureCode::NotPossessed) }
    }

    fn is_live(&self, open: &Open, now_ms: u64) -> bool {
        open.age == self.age && open.until_ms > now_ms
    }

    fn counted(&self, open: &Open) -> usize {
        self.seats.iter().filter(|seat| open.approved.contains(&(seat.number, seat.generation))).count()
    }

    fn propose(
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
            self.apply(change);
            return Ok(());
        }
        let approved = BTreeSet::from([(number, generation)]);
        let open = Open { seat: number, change, until_ms, age: self.age, approved };
        self.open.insert(self.next_proposal - 1, open);
        Ok(())
    }

    fn approve(&mut self, seat: usize, number: u64, now_ms: u64) -> Result<(), FailureCode> {
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
        if self.counted(open) + 1 < usize::from(self.quorum) {
            self.open.get_mut(&number).unwrap().approved.insert(own);
            return Ok(());
        }
        self.check(&open.change, now_ms)?;
        let change = self.open.remove(&number).unwrap().change;
        self.apply(change);
        Ok(())
    }

    fn withdraw(&mut self, seat: usize, number: u64, now_ms: u64) -> Result<(), FailureCode> {
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

/// The chain and its model, side by side.
struct Pair {
    world: World,
    model: Model,
    start: Parameters,
}

impl Pair {
    fn new() -> Self {
        let world = governed(&[0, 1, 2, 3], 3);
        let start = world.genesis.parameters.clone();
        Self { model: Model::new(&start), world, start }
    }

    fn now_ms(&self) -> u64 {
        self.world.next_header().time_ms
    }

    fn seat(&self, chosen: u8) -> usize {
        usize::from(chosen) % self.model.seats.len()
    }

    /// Another owner's key for a validator.
    fn new_owner(&mut self, place: usize) -> SigningKey {
        let own = &self.model.owned[place];
        let (number, keys) = (self.model.made, (own.validator.public(), own.owner.public()));
        self.model.made += 1;
        self.model.signed.insert(fresh(number).public(), (number, keys.0, keys.1));
        fresh(number)
    }

    /// Has a validator's owner act, and compares with what its turns allow.
    fn owner_acts(&mut self, place: usize, keys: bool) {
        let number = place as u32;
        let key = self.model.owned[place].owner.clone();
        let node = SigningKey::from_seed(&[110 + place as u8; 32]);
        let new = if keys { fresh(self.model.made) } else { self.new_owner(place) };
        self.model.made += usize::from(keys);
        let own = self.world.validator(number);
        let operation = if keys {
            Operation2::ReplaceKey {
                validator_key: own.validator_key,
                new_validator_key: new.public(),
                new_node_key: own.node_key,
                possession: possession(self.world.header.chain, own.owner_key, &new, &node),
            }
        } else {
            self.world.set_owner(number, &new)
        };
        let held = &mut self.model.owned[place];
        let (turn, code) = if keys {
            (&mut held.turns.0, FailureCode::ReplacedAlready)
        } else {
            (&mut held.turns.1, FailureCode::TooSoon)
        };
        let wanted = if *turn { failed(code) } else { Ok(Outcome::Ok) };
        if !std::mem::replace(turn, true) {
            *(if keys { &mut held.validator } else { &mut held.owner }) = new;
        }
        assert_eq!(self.world.owner_does(number, &key, operation), wanted);
    }

    fn change(&mut self, kind: Kind) -> GovernanceChange {
        match kind {
            Kind::Epochs(hours, old) => {
                let from = if old { &self.start } else { &self.model.wanted };
                let parameters = Parameters { epoch_ms: (24 + u64::from(hours)) * 3_600_000, ..from.clone() };
                GovernanceChange::SetParameters { base: parameters_hash(from), parameters }
            }
            Kind::Operators(from, count, least) => {
                let numbers: Vec<usize> = (from..from + count).map(usize::from).collect();
                let (low, high) = quorums(numbers.len()).into_inner();
                set_operators(&self.world, &numbers, if least { low } else { high } as u8)
            }
            Kind::Pause(seconds) => {
                let until_ms = self.now_ms() + u64::from(seconds) * 1_000;
                GovernanceChange::Pause { scope: PauseScope::All, until_ms }
            }
            Kind::Owner(chosen) => {
                let place = usize::from(chosen) % self.model.owned.len();
                let new = self.new_owner(place);
                by_seats(self.world.set_owner(place as u32, &new))
            }
            Kind::Bad => GovernanceChange::RemoveValidator { validator_key: [9; 32] },
        }
    }

    /// Has a seat do something on the chain.
    fn does(&mut self, seat: usize, operation: Operation2) -> Result<(), FailureCode> {
        let (number, key) = (self.model.seats[seat].number, self.model.seats[seat].key);
        // Each seat has room for all that a history lets it do.
        match self.world.seat_does(number, &alone(key), operation).unwrap() {
            Outcome::Ok => Ok(()),
            Outcome::Failed { code, .. } => Err(code),
        }
    }

    fn go(&mut self, step: Step) {
        let now_ms = self.now_ms();
        match step {
            Step::Propose(seat, kind, seconds) => {
                let (seat, change) = (self.seat(seat), self.change(kind));
                let until_ms = now_ms + u64::from(seconds) * 1_000;
                let proposed = Operation2::Propose { change: Box::new(change.clone()), until_ms };
                let done = self.does(seat, proposed);
                assert_eq!(done, self.model.propose(seat, change, until_ms, now_ms));
            }
            Step::Approve(seat, number) => {
                let seat = self.seat(seat);
                let number = 1 + u64::from(number) % self.model.next_proposal;
                let Some(change) = self.world.proposal(number).map(|held| held.change) else { return };
                let done = self.does(seat, approve(number, &change));
                let wanted = self.model.approve(seat, number, now_ms);
                assert_eq!(done.map_err(gone), wanted.map_err(gone));
            }
            Step::Withdraw(seat, number) => {
                let seat = self.seat(seat);
                let number = 1 + u64::from(number) % self.model.next_proposal;
                let done = self.does(seat, Operation2::Withdraw { number });
                let wanted = self.model.withdraw(seat, number, now_ms);
                assert_eq!(done.map_err(gone), wanted.map_err(gone));
            }
            Step::Rotate(seat) => {
                let seat = self.seat(seat);
                self.model.rotations += 1;
                let key = KEYS + self.model.rotations;
                assert_eq!(self.does(seat, rotate(&alone(key))), Ok(()));
                let held = &mut self.model.seats[seat];
                (held.key, held.generation) = (key, held.generation + 1);
            }
            Step::Own(chosen, keys) => self.owner_acts(usize::from(chosen) % self.model.owned.len(), keys),
            Step::Wait(seconds) => self.world.header.time_ms += u64::from(seconds) * 1_000,
            Step::Boundary => {
                self.world.next_epoch();
                self.model.boundary();
            }
        }
    }

    fn compare(&self) {
        let (world, model) = (&self.world, &self.model);
        let record = world.governance();
        let seats: Vec<_> = record.seats.iter().map(|seat| (seat.number, seat.signer, seat.generation)).collect();
        let of = |held: &Held| (held.number, Signer::Single(signer(held.key).public()), held.generation);
        assert_eq!(seats, model.seats.iter().map(of).collect::<Vec<_>>());
        assert_eq!((record.quorum, record.next_proposal), (model.quorum, model.next_proposal));
        assert_eq!((&world.wanted(), &world.genesis.parameters), (&model.wanted, &model.in_force));
        let now_ms = self.now_ms();
        let live: BTreeSet<u64> = record.live(now_ms).map(|open| open.number).collect();
        let wanted = model.open.iter().filter(|(_, open)| model.is_live(open, now_ms));
        assert_eq!(live, wanted.map(|(number, _)| *number).collect());
        let target = world.committee_record().target;
        let keys: Vec<_> = target.iter().map(|one| (one.validator_key, one.owner_key)).collect();
        let of = |one: &Owned| (one.validator.public(), one.owner.public());
        assert_eq!(keys, model.owned.iter().map(of).collect::<Vec<_>>());
        let pause = record.paused_until(PauseScope::All, now_ms);
        assert_eq!(pause, Some(model.pause_ms).filter(|until_ms| *until_ms > now_ms));
        // Each leaf of a proposal has its place in the record, so that somebody removes it.
        let leaves = (1..model.next_proposal).filter(|number| world.proposal(*number).is_some());
        assert!(leaves.into_iter().all(|leaf| record.open.iter().any(|open| open.number == leaf)));
    }

    /// Has a quorum of seats, of which the first is this one, change a parameter, which is in force two boundaries later.
    fn goes_on(&mut self, first: u8) {
        let count = self.model.seats.len();
        let quorum: Vec<usize> =
            (0..usize::from(self.model.quorum)).map(|place| (self.seat(first) + place) % count).collect();
        let now_ms = self.now_ms();
        let proposer = self.model.seats[quorum[0]].number;
        let own = self.model.open.iter().filter(|(_, open)| open.seat == proposer && self.model.is_live(open, now_ms));
        let own: Vec<u64> = own.map(|(number, _)| *number).collect();
        // A seat with as many proposals as it may have gives one up.
        if own.len() == 4 {
            assert_eq!(self.does(quorum[0], Operation2::Withdraw { number: own[0] }), Ok(()));
        }
        let change = set_parameters(&self.world, |p| p.claim_lag_max = 77);
        let number = self.model.next_proposal;
        let until_ms = self.now_ms() + 3_600_000;
        let proposed = Operation2::Propose { change: Box::new(change.clone()), until_ms };
        assert_eq!(self.does(quorum[0], proposed), Ok(()));
        for seat in &quorum[1..] {
            assert_eq!(self.does(*seat, approve(number, &change)), Ok(()));
        }
        self.world.next_epoch();
        assert_eq!(self.world.genesis.parameters.claim_lag_max, 77);
    }
}

/// A proposal that nobody can approve any more is void or removed by now.
fn gone(code: FailureCode) -> FailureCode {
    if code == FailureCode::StaleProposal { FailureCode::NoSuchProposal } else { code }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn the_chain_does_what_the_model_does_and_always_has_a_way_on(
        steps in proptest::collection::vec(step(), 1..60),
        first: u8,
    ) {
        let mut pair = Pair::new();
        for step in steps {
            pair.go(step);
            pair.compare();
        }
        pair.goes_on(first);
    }
}
