//! The memory that executing a block of version 2 takes at its worst (V55).
#![allow(clippy::unwrap_used, unsafe_code)]

mod common;

use common::*;
use rustorium_execution::*;
use rustorium_state::workers::Serial;
use rustorium_types::limits::{OPERATIONS_MAX, VALUE_BYTES_MAX};
use rustorium_types::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

const MIB: usize = 1024 * 1024;
/// Bytes that a block may take, besides its transactions.
const BLOCK_MIB_MAX: usize = 128;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that ends frees its memory after its counters are gone.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        PEAK.try_with(|peak| peak.set(peak.get().max(live.get())))
    });
}

/// Counts the bytes that this thread has allocated.
struct Counting;

// SAFETY: every call is the system allocator's own, with the arguments as they came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Old and new are both there while the bytes are copied.
        count(new_size as isize);
        let moved = unsafe { System.realloc(pointer, layout, new_size) };
        count(-(layout.size() as isize));
        moved
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The state of a world, in which every other leaf, except the sponsor's, has a value of the same length.
struct Filled<'a>(MemState<'a>, Option<usize>);

impl StateRead for Filled<'_> {
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StateReadError> {
        let known = self.0.get(key)?;
        // The common sponsor's leaf is small, and nobody ever governed.
        if *key == sponsor_key(COMMON) || *key == governance_key() {
            return Ok(known);
        }
        Ok(known.or_else(|| self.1.map(|bytes| vec![7; bytes])))
    }
}

impl LimitedRead for Filled<'_> {}

/// A block of version 2 with as many of these operations as its work and its bytes allow, each on a leaf of its own.
fn full_block(world: &World, operation: impl Fn(u32) -> Operation, each: u64) -> Vec<Transaction1> {
    let parameters = &world.genesis.parameters;
    let (mut block, mut number, mut work, mut bytes) = (Vec::new(), 0, 0, 0);
    loop {
        let operations = (0..OPERATIONS_MAX as u32).map(|place| operation(number + place)).collect();
        number += OPERATIONS_MAX as u32;
        let mut transaction = world.sign_at(0, block.len() as u64, operations);
        transaction.body.work_limit = planned_work(Rules::V2, &transaction.body, each);
        work += transaction.body.work_limit;
        bytes += encode(&transaction).len();
        if work > parameters.block_work_max || bytes > parameters.block_bytes_max as usize {
            return block;
        }
        block.push(transaction);
    }
}

/// Executes a block; returns the largest number of bytes that it held at once, and its outcomes.
fn peak_of(world: &World, block: &[Transaction1], leaf_bytes: Option<usize>) -> (usize, Vec<Outcome>) {
    let block = listed(block);
    let transactions = with_ids(&world.header.chain, &block);
    let header = world.next_header();
    let input = world.input(&header, transactions);
    let state = Filled(MemState(&world.state), leaf_bytes);
    let before = LIVE.get();
    PEAK.set(before);
    let execution = execute_with(&input, &state, &Keys::default(), &Serial).unwrap();
    let peak = usize::try_from(PEAK.get() - before).unwrap();
    (peak, execution.receipts.iter().map(|receipt| receipt.outcome).collect())
}

fn absent(number: u32) -> Operation {
    let key = Key::new(number.to_le_bytes().to_vec()).unwrap();
    Operation::Require(Condition::Absent { namespace: account(1), key })
}

fn hash_of_large(number: u32) -> Operation {
    let key = Key::new(number.to_le_bytes().to_vec()).unwrap();
    let hash = rustorium_crypto::value_hash(&[7; VALUE_BYTES_MAX]);
    Operation::Require(Condition::ValueHash { namespace: account(1), key, hash })
}

/// The largest value that is deleted. Another account's, so a grant is looked at too.
fn put_over_large(number: u32) -> Operation {
    Operation::Put {
        namespace: account(0),
        key: Key::new(number.to_le_bytes().to_vec()).unwrap(),
        value: Value::new(vec![1]).unwrap(),
    }
}

#[test]
fn a_block_takes_at_most_its_memory_whatever_it_reads() {
    let world = World::with(Parameters { transaction_writes_max: 512, ..Parameters::of(Rules::V2) });
    let large = Some(VALUE_BYTES_MAX);
    let mut over = Vec::new();
    for (name, block, leaf_bytes) in [
        ("many leaves that aren't there", full_block(&world, absent, 0), None),
        ("many large values", full_block(&world, hash_of_large, VALUE_BYTES_MAX as u64), large),
        ("many large values that are replaced", full_block(&world, put_over_large, VALUE_BYTES_MAX as u64), large),
    ] {
        let (peak, outcomes) = peak_of(&world, &block, leaf_bytes);
        assert!(outcomes.len() == block.len() && outcomes.iter().all(|outcome| *outcome == Outcome::Ok), "{name}");
        let operations = block.len() * OPERATIONS_MAX;
        assert!(peak >= operations * 100, "{name}: the counter counts");
        println!("{name}: {operations} operations, {} MiB", peak.div_ceil(MIB));
        if peak > BLOCK_MIB_MAX * MIB {
            over.push(format!("{name}: {operations} operations took {} MiB", peak.div_ceil(MIB)));
        }
    }
    assert!(over.is_empty(), "{over:?}");
}
