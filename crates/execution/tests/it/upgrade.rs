//! The next protocol version: who wants it, who speaks it, and which boundary takes it (V11).

use crate::common::*;
use rustorium_execution::*;
use rustorium_types::*;

const HOUR_MS: u64 = 3_600_000;

fn upgrade(version: u16, not_before_ms: u64) -> GovernanceChange {
    GovernanceChange::Upgrade { version, not_before_ms }
}

/// A chain of four members on which three seats want version 3 from a time on.
fn wanting(not_before_ms: u64) -> World {
    let mut world = governed(&[0, 1, 2], 2);
    decide(&mut world, &upgrade(3, not_before_ms));
    world
}

impl World {
    /// Executes a block of the member with this place, whose release speaks a version.
    fn speaks(&mut self, place: u16, version: u64) -> Execution {
        (self.header.proposer, self.header.speaks, self.header.transactions) = (ValidatorIndex(place), version, 1);
        let execution = self.run_listed(&[]);
        (self.header.speaks, self.header.transactions) = (0, 0);
        execution
    }

    fn upgrade(&self) -> Option<Upgrade> {
        self.committee_record().upgrade
    }

    fn speakers(&self) -> Vec<u16> {
        self.upgrade().unwrap().speakers(self.header.epoch).iter().map(|place| place.0).collect()
    }
}

#[test]
fn seats_want_the_next_version_and_no_other() {
    let mut world = wanting(0);
    assert_eq!(world.upgrade(), Some(Upgrade::new(3, 0)));
    for version in [0, 1, 4, u16::MAX] {
        let proposed = propose(&world, upgrade(version, 0));
        assert_eq!(world.seat_does(0, &alone(0), proposed), failed(FailureCode::BadVersion), "{version}");
    }
    let far_ms = world.header.time_ms + 367 * 24 * HOUR_MS;
    let proposed = propose(&world, upgrade(3, far_ms));
    assert_eq!(world.seat_does(0, &alone(0), proposed), failed(FailureCode::BadTime));
    decide(&mut world, &upgrade(3, 7));
    assert_eq!(world.upgrade(), Some(Upgrade::new(3, 7)), "another time");
    decide(&mut world, &upgrade(2, 0));
    assert_eq!(world.upgrade(), None, "recalled");
    let proposed = propose(&world, upgrade(2, 0));
    assert_eq!(world.seat_does(0, &alone(0), proposed), failed(FailureCode::BadVersion), "there is nothing to recall");
}

#[test]
fn headers_tell_who_speaks_the_version() {
    let mut world = wanting(0);
    (world.header.proposer, world.header.speaks) = (ValidatorIndex(2), 3);
    assert_eq!(world.run_listed(&[]).diff, [], "a block that lists nothing changes nothing");
    world.header.speaks = 0;
    assert_eq!(world.speaks(1, 3).diff.len(), 1);
    assert_eq!(world.speaks(1, 3).diff.len(), 0, "it is known");
    assert_eq!(world.speaks(2, 0).diff.len(), 0, "it speaks the chain's version alone");
    world.speaks(3, 4);
    assert_eq!(world.speakers(), [1, 3], "who speaks a later one speaks this one");
    // Another time for the same version lets nobody say it again.
    decide(&mut world, &upgrade(3, 9));
    assert_eq!(world.speakers(), [1, 3]);
    world.header.epoch = world.header.epoch.next();
    assert_eq!(world.speakers(), [0; 0], "another epoch asks anew");
    world.speaks(0, 3);
    assert_eq!(world.speakers(), [0]);
    decide(&mut world, &upgrade(2, 0));
    decide(&mut world, &upgrade(3, 0));
    assert_eq!(world.speakers(), [0; 0], "a later decision begins anew");
}

#[test]
fn nothing_is_written_while_nobody_wants_a_version() {
    let mut world = governed(&[0, 1, 2], 2);
    assert_eq!(world.speaks(0, 3).diff, []);
    assert_eq!(world.committee_record().upgrade, None);
}

#[test]
fn a_boundary_takes_the_version_when_a_quorum_speaks_it() {
    let mut world = wanting(0);
    for place in [0, 2] {
        world.speaks(place, 3);
    }
    assert_eq!(world.clone().next_epoch(), Change::None, "two of four are too few");
    world.speaks(3, 3);
    assert_eq!(world.clone().next_epoch(), Change::Version);
    // Other parameters come with a later boundary.
    let parameters = set_parameters(&world, |parameters| parameters.epoch_ms += 1);
    decide(&mut world, &parameters);
    assert_eq!(world.clone().next_epoch(), Change::Version);
    decide(&mut world, &upgrade(2, 0));
    assert_eq!(world.next_epoch(), Change::Parameters, "it was recalled");
}

#[test]
fn a_boundary_takes_no_version_before_its_time() {
    let mut world = governed(&[0, 1, 2], 2);
    let not_before_ms = world.header.time_ms + HOUR_MS;
    decide(&mut world, &upgrade(3, not_before_ms));
    for place in 0..4 {
        world.speaks(place, 3);
    }
    let at = |time_ms| {
        let mut later = world.clone();
        later.header.time_ms = time_ms;
        later.next_epoch()
    };
    assert_eq!((at(not_before_ms - 1), at(not_before_ms)), (Change::None, Change::Version));
}

#[test]
fn a_version_that_the_chain_has_is_wanted_no_longer() {
    let (mut world, n) = (wanting(0), 4);
    for place in 0..4 {
        world.speaks(place, 3);
    }
    let (record, time_ms) = (world.committee_record(), world.header.time_ms);
    assert_eq!(record.version_at((world.header.epoch, 2), n, time_ms), Some(3));
    assert_eq!(record.version_at((world.header.epoch, 3), n, time_ms), None);
    assert_eq!(record.version_at((world.header.epoch.next(), 2), n, time_ms), None, "of another epoch");
    // Nobody says it any more, though members may speak a later one.
    let header = Header { version: 3, speaks: 4, epoch: Epoch(9), ..world.header.clone() };
    assert_eq!(record.upgrade.unwrap().after(&header), None);
}

#[test]
fn a_record_with_an_upgrade_has_one_form() {
    let world = wanting(HOUR_MS);
    let record = world.committee_record();
    let bytes = record.to_bytes();
    assert_eq!(CommitteeRecord::from_bytes(&bytes).unwrap(), record);
    assert!(CommitteeRecord::from_bytes(&[bytes.clone(), vec![0]].concat()).is_err());
    assert!(CommitteeRecord::from_bytes(&bytes[..bytes.len() - 1]).is_err());
    let without = CommitteeRecord { upgrade: None, ..record };
    assert!(without.to_bytes().len() < bytes.len());
    assert_eq!(CommitteeRecord::from_bytes(&without.to_bytes()).unwrap(), without);
}

#[test]
fn the_last_place_of_the_largest_committee_has_a_bit() {
    let header = |place| {
        let world = governed(&[0, 1, 2], 2);
        Header { proposer: ValidatorIndex(place), speaks: 3, ..world.header.clone() }
    };
    let last = limits::VALIDATORS_MAX as u16 - 1;
    let after = Upgrade::new(3, 0).after(&header(last)).unwrap();
    assert_eq!(after.speakers(Epoch(0)), [ValidatorIndex(last)]);
    assert_eq!(after.after(&header(last + 1)), None, "there is no such member");
}
