//! Prints what the state tree costs: `cargo run --release -p rustorium-state --example tree [KEYS [WIDTH [NAMES]]]`
//! (a million keys, windows of 10 bits, one name an account).
//!
//! Times are processor times of threads, so that others on the machine change little. What two threads need is what one
//! does alone and, of each divided step, the time of the one that is done last when each takes the next piece as soon as
//! it is free: computed from the pieces' processor times, which the two threads of a pool spend.

#![allow(clippy::float_arithmetic, reason = "a report for people")]

use rustix::time::{ClockId, clock_gettime};
use rustorium_state::host::open_table;
use rustorium_state::path::Prefix;
use rustorium_state::proof::{StateProof, open, verify};
use rustorium_state::tables::Tables;
use rustorium_state::tree::{KeyChange, KvRead, MemKv, Row, update};
use rustorium_state::workers::{Serial, Workers};
use rustorium_types::{AccountId, Hash, StateKey};
use std::collections::BTreeSet;
use std::error::Error;
use std::io::Write;
use std::sync::Mutex;

/// Writes of a root period.
const WRITES: u64 = 10_000;
const PERIODS: u64 = 15;
const REGIONS: u64 = 3;

type Outcome = Result<(), Box<dyn Error>>;

/// Processor time of this thread, in microseconds.
fn cpu_us() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = cpu_us();
    let result = work();
    (cpu_us() - start, result)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn hash(of: &str, number: u64) -> [u8; 32] {
    *blake3::hash(format!("{of} {number}").as_bytes()).as_bytes()
}

/// A ledger's keys.
#[derive(Clone, Copy)]
struct Keys {
    count: u64,
    /// Names of each account.
    names: u64,
}

impl Keys {
    fn key(self, number: u64) -> StateKey {
        let account = number / self.names;
        let mut id = hash("account", account);
        id[0] = (account % REGIONS) as u8;
        StateKey { account: AccountId(id), name: hash("name", number) }
    }

    fn writes(self, numbers: impl Iterator<Item = u64>, round: u64) -> Vec<KeyChange> {
        let value = |number| Some(Hash(hash("value", number * 1000 + round)));
        let mut diff: Vec<KeyChange> = numbers.map(|number| (self.key(number), value(number))).collect();
        diff.sort();
        diff.dedup_by_key(|change| change.0);
        diff
    }

    /// A random key that exists.
    fn pick(self, salt: u64) -> u64 {
        let random = hash("pick", salt);
        random.iter().take(7).fold(0, |sum, byte| sum * 256 + u64::from(*byte)) % self.count
    }
}

/// A pool that notes what a step costs its threads.
struct Measured<'a> {
    pool: &'a rayon::ThreadPool,
    spent: Mutex<Spent>,
}

#[derive(Default)]
struct Spent {
    all: f64,
    longest: f64,
}

impl Workers for Measured<'_> {
    fn count(&self) -> usize {
        self.pool.count()
    }

    fn map<I: Send, O: Send>(&self, inputs: Vec<I>, work: impl Fn(I) -> O + Send + Sync) -> Vec<O> {
        let mut queues = vec![0.0_f64; self.count()];
        let timed = self.pool.map(inputs, |input| timed(|| work(input)));
        for (took, _) in &timed {
            queues.sort_by(f64::total_cmp);
            queues[0] += took;
        }
        if let Ok(mut spent) = self.spent.lock() {
            spent.all += queues.iter().sum::<f64>();
            spent.longest += queues.iter().fold(0.0, |most: f64, one| most.max(*one));
        }
        timed.into_iter().map(|(_, result)| result).collect()
    }
}

fn main() -> Outcome {
    let arguments: Vec<u64> = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let argument = |at: usize, default| arguments.get(at).copied().unwrap_or(default);
    let keys = Keys { count: argument(0, 1_000_000), names: argument(2, 1) };
    let out = &mut std::io::stdout().lock();
    let tables = table(out, u32::try_from(argument(1, 10))?)?;
    let mut tree = MemKv::default();
    let genesis = keys.writes(0..keys.count, 0);
    let (took, diff) = timed(|| update(&tables, &tree, &genesis, &Serial));
    tree.apply(diff?);
    let nodes = tree.nodes();
    writeln!(
        out,
        "{} keys at once           {:>8.2} us a key, {nodes} inner nodes",
        keys.count,
        took / keys.count as f64
    )?;
    periods(out, &tables, &mut tree, keys)?;
    for count in [1, 10, 100, 1000] {
        proofs(out, &tree, keys, count)?;
    }
    Ok(())
}

/// The table, from a file that stays for the next run.
fn table(out: &mut impl Write, width: u32) -> Result<Tables, Box<dyn Error>> {
    let folder = std::env::temp_dir().join("rustorium-tables");
    std::fs::create_dir_all(&folder)?;
    let (first, tables) = timed(|| open_table(&folder, width));
    drop(tables?);
    let (again, tables) = timed(|| open_table(&folder, width));
    let tables = tables?;
    let mib = tables.as_bytes().len() >> 20;
    writeln!(
        out,
        "table of width {width}, {mib} MiB    {:>8.1} ms to open, {:.1} the first time",
        again / 1e3,
        first / 1e3
    )?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    for line in status.lines().filter(|line| line.starts_with("RssAnon") || line.starts_with("RssFile")) {
        writeln!(out, "memory then: {line}")?;
    }
    Ok(tables)
}

/// Periods of random writes, half of them to keys that exist and half to new ones.
fn periods(out: &mut impl Write, tables: &Tables, tree: &mut MemKv, keys: Keys) -> Outcome {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build()?;
    let (mut alone_us, mut together_us, mut both_us) = (Vec::new(), Vec::new(), Vec::new());
    let (mut changed, mut slot_bytes, mut node_bytes) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=PERIODS {
        let number = |i: u64| {
            let salt = round * WRITES + i;
            if i.is_multiple_of(2) { keys.pick(salt) } else { keys.count + salt }
        };
        let diff = keys.writes((0..WRITES).map(number), round);
        let count = diff.len() as f64;
        let (took, alone) = timed(|| update(tables, tree, &diff, &Serial));
        alone_us.push(took / count);
        let measured = Measured { pool: &pool, spent: Mutex::default() };
        let (by_caller, together) = timed(|| update(tables, tree, &diff, &measured));
        let spent = measured.spent.into_inner()?;
        together_us.push((by_caller + spent.longest) / count);
        both_us.push((by_caller + spent.all) / count);
        let alone = alone?;
        assert_eq!(alone, together?);
        changed.push(alone.rows.len() as f64 / count);
        slot_bytes.push(rows_bytes(&alone.rows) as f64 / count);
        let nodes: BTreeSet<Prefix> = alone.rows.iter().map(|(id, _)| id.node).collect();
        tree.apply(alone);
        node_bytes.push(nodes_bytes(tree, &nodes)? as f64 / count);
    }
    let (alone, together, both) = (median(alone_us), median(together_us), median(both_us));
    writeln!(out, "write in a period of {WRITES}   {alone:>8.2} us on one thread")?;
    writeln!(out, "the same on two threads       {together:>8.2} us: {:.2}x; {both:.2} us of both", alone / together)?;
    let [changed, slots, nodes] = [changed, slot_bytes, node_bytes].map(median);
    writeln!(
        out,
        "changed rows                  {changed:>8.2} a write, {slots:.0} bytes; as whole nodes {nodes:.0} bytes"
    )?;
    Ok(())
}

fn rows_bytes(rows: &[Row]) -> usize {
    rows.iter().map(|(id, slot)| id.to_bytes().len() + slot.map_or(0, |slot| slot.to_row().len())).sum()
}

/// Returns the bytes that the same nodes would take as one row each.
fn nodes_bytes(tree: &MemKv, nodes: &BTreeSet<Prefix>) -> Result<usize, Box<dyn Error>> {
    let bytes = |node: &Prefix| {
        let slots = tree.node(node)?;
        Ok(node.length() + slots.iter().map(|(_, slot)| 1 + slot.to_row().len()).sum::<usize>())
    };
    nodes.iter().map(bytes).sum()
}

/// Proofs of `count` keys each, one in ten of them absent.
fn proofs(out: &mut impl Write, tree: &MemKv, keys: Keys, count: u64) -> Outcome {
    let root = tree.top()?.commitment.encode();
    let (mut make_us, mut verify_us, mut bytes) = (Vec::new(), Vec::new(), 0);
    for round in 0..9 {
        let number = |i: u64| if i % 10 == 9 { u64::MAX / 2 + i } else { keys.pick(round * 2000 + i) };
        let asked: Vec<StateKey> = (0..count).map(|i| keys.key(number(i))).collect();
        let (took, proof) = timed(|| open(tree, &root, &asked));
        make_us.push(took);
        let proof = proof?.to_bytes();
        bytes = proof.len();
        let (took, values) =
            timed(|| verify(&root, &StateProof::from_bytes(&proof)?, &asked).map_err(Box::<dyn Error>::from));
        verify_us.push(took);
        assert_eq!(values?.iter().filter(|value| value.is_none()).count() as u64, count / 10);
    }
    let (make, verify) = (median(make_us) / 1e3, median(verify_us) / 1e3);
    writeln!(
        out,
        "proof of {count:>4} keys            {make:>8.2} ms to make, {verify:.2} ms to check, {bytes} bytes"
    )?;
    Ok(())
}
