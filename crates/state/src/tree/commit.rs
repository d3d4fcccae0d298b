//! The third part of an update: it computes the commitments of all nodes that change, lowest first, in batches that
//! share their inversions.

use super::plan::{Change, Place, Plan, Work};
use super::{Row, pieces};
use crate::affine::{Point, from_edwards, sum_runs, to_edwards};
use crate::group::Fr;
use crate::path::{Prefix, SlotId};
use crate::slot::{Child, Commitment, Slot};
use crate::tables::{Lane, Scratch, Tables};
use crate::workers::Workers;
use ark_ff::AdditiveGroup;
use std::sync::{Mutex, PoisonError};

/// Changed slots that make a piece of work worth its inversions.
const CHANGES_A_PIECE: usize = 256;

/// Commits to `top` and all planned nodes below it. Appends their rows and returns the new `top`.
pub(super) fn commit(tables: &Tables, top: Work, workers: &impl Workers, rows: &mut Vec<Row>) -> Child {
    let mut heights = Vec::new();
    let mut last = Child { prefix: top.prefix, filled: top.filled, commitment: top.base };
    place(Box::new(top), &mut heights);
    let mut finished: Vec<Vec<Child>> = Vec::new();
    let scratches = Scratches::default();
    for works in heights {
        let products = multiply(tables, &works, &finished, workers, &scratches, rows);
        let children = sum(works, &products, workers, &scratches);
        // The top is the only node of the last height.
        last = children.last().copied().unwrap_or(last);
        finished.push(children);
    }
    last
}

/// Computes (new scalar − old scalar)·G_index for each change of nodes of one height. The work is divided without
/// regard to nodes, so that a node with many changed slots occupies all workers. Appends the changes' rows.
#[allow(clippy::vec_box, reason = "as `place` makes them")]
fn multiply(
    tables: &Tables,
    works: &[Box<Work>],
    finished: &[Vec<Child>],
    workers: &impl Workers,
    scratches: &Scratches,
    rows: &mut Vec<Row>,
) -> Vec<Point> {
    let changes = works.iter().flat_map(|work| work.changes.iter().map(|change| (&work.prefix, change)));
    let pieces = pieces(changes.collect(), |_| 1, CHANGES_A_PIECE, workers);
    let done = workers.map(pieces, |changes: Vec<(&Prefix, &Change)>| {
        let (mut lanes, mut rows) = (Vec::with_capacity(changes.len()), Vec::with_capacity(changes.len()));
        for (node, change) in changes {
            let new = slot_after(change, finished);
            let scalar = |slot: &Option<Slot>| slot.as_ref().map_or(Fr::ZERO, Slot::scalar);
            lanes.push(Lane { index: change.index, scalar: scalar(&new) - scalar(&change.old) });
            rows.push((SlotId { node: *node, index: change.index }, new));
        }
        (scratches.lend(|scratch| tables.products(&lanes, scratch)), rows)
    });
    let mut products = Vec::new();
    for (piece, piece_rows) in done {
        products.extend(piece);
        rows.extend(piece_rows);
    }
    products
}

fn slot_after(change: &Change, finished: &[Vec<Child>]) -> Option<Slot> {
    match &change.new {
        Plan::Known(slot) => Some(*slot),
        Plan::Placed(place) => Some(Slot::Child(finished[place.height][place.index])),
        // Every node gets its place before the first is committed to.
        Plan::Empty | Plan::Node(_) => None,
    }
}

/// Computes new commitments: old ones + the products of their changes.
#[allow(clippy::vec_box, reason = "as `place` makes them")]
fn sum(works: Vec<Box<Work>>, products: &[Point], workers: &impl Workers, scratches: &Scratches) -> Vec<Child> {
    let mut rest = products;
    let pieces = pieces(works, |work| work.changes.len(), CHANGES_A_PIECE, workers).into_iter().map(|works| {
        let (own, others) = rest.split_at(works.iter().map(|work| work.changes.len()).sum());
        rest = others;
        (works, own)
    });
    let done = workers
        .map(pieces.collect(), |(works, products)| scratches.lend(|scratch| sum_piece(&works, products, scratch)));
    done.into_iter().flatten().collect()
}

fn sum_piece(works: &[Box<Work>], mut products: &[Point], scratch: &mut Scratch) -> Vec<Child> {
    let bases: Vec<_> = works.iter().map(|work| work.base.coordinates()).collect();
    let mut points: Vec<Point> = Vec::with_capacity(products.len() + works.len());
    let mut lengths = Vec::with_capacity(works.len());
    for (work, base) in works.iter().zip(from_edwards(&bases)) {
        let (own, others) = products.split_at(work.changes.len());
        points.push(base);
        points.extend_from_slice(own);
        lengths.push(1 + own.len());
        products = others;
    }
    sum_runs(&mut points, &mut lengths, &mut scratch.sums);
    let commitments = to_edwards(&points).into_iter().map(Commitment::new);
    let children = works.iter().zip(commitments).map(|(work, commitment)| Child {
        prefix: work.prefix,
        filled: work.filled,
        commitment,
    });
    children.collect()
}

/// Memory for each piece in progress, passed on from piece to piece.
#[derive(Default)]
struct Scratches(Mutex<Vec<Scratch>>);

impl Scratches {
    fn lend<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let free = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = free().pop().unwrap_or_default();
        let result = work(&mut scratch);
        free().push(scratch);
        result
    }
}

/// Sorts planned nodes by their height, since those below come first.
#[allow(clippy::vec_box, reason = "sorting moves pointers, and the box is there already")]
fn place(mut work: Box<Work>, heights: &mut Vec<Vec<Box<Work>>>) -> Place {
    let mut height = 0;
    for change in &mut work.changes {
        if let Plan::Node(_) = change.new
            && let Plan::Node(child) = std::mem::replace(&mut change.new, Plan::Empty)
        {
            let place = place(child, heights);
            height = height.max(place.height + 1);
            change.new = Plan::Placed(place);
        }
    }
    if heights.len() <= height {
        heights.resize_with(height + 1, Vec::new);
    }
    heights[height].push(work);
    Place { height, index: heights[height].len() - 1 }
}
