//! State sync with lying, slow, dying and forgetful peers, and kills at every step: the exact tree, or none.

mod snapshots;
mod world;

use proptest::collection::vec;
use proptest::prelude::*;
use rustorium_state::workers::Serial;
use rustorium_sync::state::*;
use rustorium_types::*;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use world::*;

/// Peers, one store, one clock.
struct World {
    model: Arc<Model>,
    manners: Vec<Manner>,
    disk: Disk,
    sync: StateSync,
    now_ms: u64,
    draws: u64,
    /// Answers in flight: time, peer, number, answer.
    wire: VecDeque<(u64, PublicKey, u64, Response)>,
    answers: usize,
    asked: usize,
    banned: BTreeSet<PublicKey>,
}

const CONFIG: StateSyncConfig = StateSyncConfig { timeout_ms: 100, parts_max: 6, per_peer_max: 3 };
/// A peer that dies does so after this many answers.
const LIFE: usize = 3;

impl World {
    fn new(model: Model, manners: Vec<Manner>, draws: u64) -> Self {
        let model = Arc::new(model);
        let sync = StateSync::new(CONFIG, model.target());
        let mut world = Self {
            model,
            manners,
            disk: Disk::default(),
            sync,
            now_ms: 0,
            draws,
            wire: VecDeque::new(),
            answers: 0,
            asked: 0,
            banned: BTreeSet::new(),
        };
        world.connect();
        world
    }

    fn connect(&mut self) {
        (0..self.manners.len()).for_each(|i| self.sync.connected(peer(i as u8)));
    }

    fn draw(&mut self) -> usize {
        self.draws = self.draws.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.draws >> 33) as usize
    }

    /// Runs one request or answer, or lets time pass. False at the end.
    fn step(&mut self) -> bool {
        for ban in self.sync.take_bans() {
            assert!(self.manners[usize::from(ban.peer[0])].lies(), "an honest peer was banned: {ban:?}");
            self.banned.insert(ban.peer);
        }
        if self.sync.standing() != Standing::Running {
            return false;
        }
        let mut questions = Vec::new();
        self.sync.poll(self.now_ms, &mut questions);
        self.asked += questions.len();
        for (peer, number, request) in questions {
            assert!(!self.banned.contains(&peer), "a liar was asked again");
            self.reply(peer, number, &request);
        }
        if let Some(place) = self.due() {
            let (_, peer, number, response) = self.wire.remove(place).unwrap();
            self.answers += 1;
            if let Some(job) = self.sync.on_answer(self.now_ms, peer, number, response) {
                let checked = check(tables(), job, &Serial);
                let write = self.sync.on_checked(checked, &self.disk).unwrap();
                self.disk.apply(write);
            }
            return true;
        }
        let arrives = self.wire.iter().map(|(at, ..)| *at).min();
        let Some(next) = self.sync.next_deadline_ms(self.now_ms).into_iter().chain(arrives).min() else {
            return false;
        };
        assert!(next > self.now_ms, "time stands still");
        self.now_ms = next;
        true
    }

    fn due(&mut self) -> Option<usize> {
        let draw = self.draw();
        let due: Vec<usize> = (0..self.wire.len()).filter(|i| self.wire[*i].0 <= self.now_ms).collect();
        if due.is_empty() { None } else { Some(due[draw % due.len()]) }
    }

    fn reply(&mut self, peer: PublicKey, number: u64, request: &Request) {
        let manner = self.manners[usize::from(peer[0])];
        let draw = self.draw();
        let delay_ms = if manner == Manner::Late { 130 } else { draw as u64 % 20 };
        if manner == Manner::Dies && self.answers > LIFE {
            self.wire.retain(|(_, from, ..)| *from != peer);
            return self.sync.disconnected(&peer);
        }
        if let Some(response) = respond(&self.model, manner, request, draw) {
            self.wire.push_back((self.now_ms + delay_ms, peer, number, response));
        }
    }

    /// Ends the process and starts it again: only the disk stays.
    fn kill(&mut self) {
        self.disk.check(&self.model);
        self.sync = StateSync::new(CONFIG, self.model.target());
        self.wire.clear();
        self.banned.clear();
        self.connect();
    }

    fn run(&mut self) {
        for _ in 0..200_000 {
            if !self.step() {
                return;
            }
        }
        panic!("it does not end: {:?}", self.sync.progress());
    }
}

fn manner() -> impl Strategy<Value = Manner> {
    use Manner::*;
    prop_oneof![
        Just(Honest),
        Just(Confused),
        Just(Alters),
        Just(AltersValues),
        Just(Omits),
        Just(Repeats),
        Just(Elsewhere),
        Just(Silent),
        Just(Late),
        Just(Lacks),
        Just(Dies),
    ]
}

/// Leaves whose keys part early and late.
fn state() -> impl Strategy<Value = Model> {
    let account = prop_oneof![
        (0..3_u8, 0..4_u8, any::<u8>()).prop_map(|(a, b, c)| {
            let mut id = [7; 32];
            (id[0], id[1], id[30]) = (a, b, c);
            id
        }),
        (0..3_u8).prop_map(|a| [a; 32]),
    ];
    let leaf = (account, vec(any::<u8>(), 1..4), vec(any::<u8>(), 0..40));
    (vec(leaf, 0..120), 1..40_usize).prop_map(|(leaves, leaves_max)| {
        Model::new(leaves.into_iter().map(|(account, name, value)| leaf_of(account, &name, value)), leaves_max)
    })
}

fn leaf_of(account: [u8; 32], name: &[u8], value: Vec<u8>) -> StateLeaf {
    world::leaf(account, name, value)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// With one honest peer among any others: the exact tree; the liars that were asked are banned, and nobody else.
    #[test]
    fn one_honest_peer_suffices_for_the_exact_tree(
        model in state(),
        others in vec(manner(), 0..5),
        kills in vec(1..40_usize, 0..6),
        seed in any::<u64>(),
    ) {
        let mut world = World::new(model, [vec![Manner::Honest], others].concat(), seed);
        for steps in kills {
            for _ in 0..steps {
                if !world.step() {
                    break;
                }
            }
            if world.sync.standing() == Standing::Done {
                break;
            }
            world.kill();
        }
        world.run();
        prop_assert_eq!(world.sync.standing(), Standing::Done);
        prop_assert_eq!(world.sync.progress().done_ppm, 1_000_000);
        world.disk.is(&world.model);
    }

    /// Without an honest peer the sync never ends, unless the false peers' data happened to be right.
    #[test]
    fn without_an_honest_peer_nothing_false_is_ever_stored(
        model in state(),
        others in vec(manner(), 1..5),
        seed in any::<u64>(),
    ) {
        let mut world = World::new(model, others, seed);
        for _ in 0..2_000 {
            if !world.step() {
                break;
            }
        }
        world.disk.check(&world.model);
        if world.sync.standing() == Standing::Done {
            world.disk.is(&world.model);
        }
        prop_assert!(world.disk.leaves.iter().all(|(key, leaf)| world.model.leaves.get(key) == Some(leaf)));
    }
}

fn many(count: u32) -> Model {
    let leaf = |i: u32| {
        let id = rustorium_crypto::hash::hash(b"account", &[&i.to_le_bytes()]);
        world::leaf(id, b"name", i.to_le_bytes().to_vec())
    };
    Model::new((0..count).map(leaf), 40)
}

#[test]
fn a_kill_at_every_step_loses_at_most_the_parts_in_progress() {
    let mut undisturbed = World::new(many(600), vec![Manner::Honest; 3], 1);
    undisturbed.run();
    let mut world = World::new(many(600), vec![Manner::Honest; 3], 1);
    while world.sync.standing() == Standing::Running {
        for _ in 0..24 {
            world.step();
        }
        if world.sync.standing() == Standing::Running {
            let leaves = world.disk.leaves.len();
            world.kill();
            assert_eq!(world.disk.leaves.len(), leaves);
        }
    }
    world.disk.is(&world.model);
    // The open nodes' slots and the parts in progress are requested again; no stored leaf is.
    assert!(world.asked < 4 * undisturbed.asked, "{} questions instead of {}", world.asked, undisturbed.asked);
    let stored: u64 = world.disk.leaves.len() as u64;
    assert!(world.sync.progress().leaves < stored, "the last start fetched the rest only");
}

#[test]
fn every_kind_of_liar_is_banned_and_named() {
    use Manner::*;
    for manner in [Confused, Alters, AltersValues, Omits, Repeats, Elsewhere] {
        let mut world = World::new(many(300), vec![manner, Honest], 5);
        world.run();
        world.disk.is(&world.model);
        assert_eq!(world.banned.iter().collect::<Vec<_>>(), [&peer(0)], "{manner:?}");
    }
}

#[test]
fn a_snapshot_that_nobody_has_any_more_is_given_up_for_a_newer_one() {
    let mut world = World::new(many(200), vec![Manner::Lacks, Manner::Lacks], 3);
    world.run();
    assert_eq!(world.sync.standing(), Standing::Gone);
    let newer = Arc::new(many(230));
    world.model = newer.clone();
    world.disk = Disk::default();
    world.manners = vec![Manner::Honest, Manner::Lacks];
    world.sync.restart(newer.target());
    assert_eq!(world.sync.target(), newer.target());
    world.run();
    world.disk.is(&newer);
}

#[test]
fn late_answers_count_and_slow_peers_are_asked_less() {
    let mut world = World::new(many(300), vec![Manner::Late], 9);
    world.run();
    world.disk.is(&world.model);
    let mut world = World::new(many(2_000), vec![Manner::Silent, Manner::Honest, Manner::Honest], 9);
    world.run();
    world.disk.is(&world.model);
    let rounds = world.now_ms / CONFIG.timeout_ms;
    assert!(rounds < 40, "a silent peer held it up for {rounds} time-outs");
}

#[test]
fn an_empty_tree_is_synced_too() {
    let mut world = World::new(Model::new([], 4), vec![Manner::Alters, Manner::Honest], 2);
    world.run();
    world.disk.is(&world.model);
    assert_eq!(world.model.target().root, Hash([0; 32]));
}

#[test]
fn parts_in_memory_are_bounded_however_large_the_tree() {
    let mut world = World::new(many(3_000), vec![Manner::Honest; 4], 4);
    let mut most = 0;
    while world.step() {
        most = most.max(world.sync.parts());
    }
    world.disk.is(&world.model);
    // Depth first: the siblings along one path, and the nodes opened meanwhile.
    assert!(most <= (3 + CONFIG.parts_max) * 256, "{most} parts waited");
}
