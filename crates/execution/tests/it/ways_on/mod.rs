//! Histories of seats against a model that is written here anew, and from each state that they reach a way on (V44, V45).

mod model;

use crate::common::*;
use model::{Held, KEYS, Kind, Model, Owned, Step, fresh, step};
use proptest::prelude::*;
use rustorium_crypto::{SigningKey, parameters_hash};
use rustorium_execution::*;
use rustorium_types::*;
use std::collections::BTreeSet;

/// The chain and its model, side by side.
struct Pair {
    world: World,
    model: Model,
    start: Parameters,
}

impl Pair {
    fn new(delay_ms: u64) -> Self {
        let mut world = governed(&[0, 1, 2, 3], 3);
        world.genesis.parameters.operators_delay_ms = Some(delay_ms);
        world.header.parameters = parameters_hash(&world.genesis.parameters);
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
                self.model.boundary(self.world.header.time_ms);
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
        waits: bool,
    ) {
        let mut pair = Pair::new(if waits { 900_000 } else { 0 });
        for step in steps {
            pair.go(step);
            pair.compare();
        }
        pair.goes_on(first);
    }
}
