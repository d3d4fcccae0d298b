//! Fixed-base tables: multiples of the 256 generators, so that a scalar times a generator is the sum of about thirty
//! points.
//!
//! *Invariants:* the entries are a function of the width alone; a table that this process didn't compute has the hash
//! in its header (and, for the usual widths, the hash in this file); no code writes to a table, so any number of
//! threads and, through `host`, of processes read one copy.
//!
//! A scalar is recoded in signed digits of `width` bits: window w of generator G holds d·2^(w·width)·G for the magnitudes
//! d = 1 … 2^(width − 1), the topmost only what scalars below r can need. An entry is a point of `affine`, both coordinates
//! in Montgomery form, as eight little-endian words: 64 bytes, one cache line.

use crate::WIDTH;
use crate::affine::{self, Point, from_edwards, sum_runs, to_edwards};
use crate::crs::crs;
use crate::group::{Element, Fr};
use crate::scalar::signed_digits;
use ark_ec::CurveGroup;
use ark_ed_on_bls12_381_bandersnatch::{EdwardsProjective, Fq};
use ark_ff::{BigInt, PrimeField};

/// Bytes of one entry.
const ENTRY: usize = 64;

/// Bytes before the first entry: a page, so that entries are aligned to cache lines.
const HEADER: usize = 4096;

/// The header's first bytes, with the version of this layout; then come the width (u32) and BLAKE3 of all entries.
const MAGIC: &[u8; 24] = b"rustorium verkle table 1";

/// Lanes whose points are gathered and added up together. More lanes share their inversions among more points; fewer
/// stay in a smaller cache. From 128 (0.2 MiB) to 1024 there is no measurable difference.
const LANES_AT_ONCE: usize = 512;

/// Generators whose multiples are computed together while a table is made.
const GENERATORS_AT_ONCE: usize = 16;

/// Largest number of windows of a scalar, at width 4.
const WINDOWS_MAX: usize = 64;

/// BLAKE3 of the entries of the tables that files contain, by width. A file of this name is never trusted by its own
/// header.
const PINNED: [(u32, &str); 5] = [
    (8, "83cdd6cf95ba99f23c4dbea8d8fc38c4c7901753819b4152f8b4ef90aee4df77"),
    (9, "56af93be69d043f6bbbe8f9ac9eacc873c178d428c6b7ba4455c247483f764e8"),
    (10, "e73076707216da8aaa29dd86b4dc71ce269763b3e4d07f8b1e6a2c21447b2f0c"),
    (11, "3b4bb1a95a2bbc7ab2101d33ca36ad58dff59ac6e296086918e01b00fa419266"),
    (12, "ca2e96bd2c6955379df2d92d13471f170e5318f1326a30ff39b0ce0b1491da3d"),
];

/// Returns the pinned hash of the entries of this width's table, if there is one.
pub(crate) fn pinned(width: u32) -> Option<[u8; 32]> {
    let (_, hex) = PINNED.iter().find(|(pinned, _)| *pinned == width)?;
    blake3::Hash::from_hex(hex).ok().map(Into::into)
}

/// There is no such table.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TableError {
    /// There is no table of this width.
    #[error("no table has windows of {0} bits: choose 8 to 12 for a file, or 4 to 13 in memory")]
    Width(u32),
    /// The bytes aren't the table of this width.
    #[error("the bytes are not an undamaged table of width {width}: {what}")]
    Damaged {
        /// Requested width in bits.
        width: u32,
        /// Description of the fault.
        what: &'static str,
    },
}

/// A scalar times the generator of one slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    /// Index of the generator, one of 256.
    pub index: u8,
    /// The factor.
    pub scalar: Fr,
}

/// Memory that [`Tables::products`] reuses: new pages would cost several per cent of its time.
#[derive(Default)]
pub(crate) struct Scratch {
    choices: Vec<Choice>,
    points: Vec<Point>,
    lengths: Vec<usize>,
    pub sums: affine::Scratch,
}

/// Dimensions of a table that follow from its width.
#[derive(Clone, Copy, Debug)]
struct Shape {
    width: u32,
    /// Windows of a scalar.
    windows: usize,
    /// Entries of the topmost window.
    top: usize,
}

impl Shape {
    fn new(width: u32) -> Result<Self, TableError> {
        if !(4..=13).contains(&width) {
            return Err(TableError::Width(width));
        }
        let windows = (Fr::MODULUS_BIT_SIZE + 1).div_ceil(width); // with a bit for the last carry
        // One more than the modulus needs there, for the carry from the window below.
        let top = (Fr::MODULUS >> (width * (windows - 1))).0[0] as usize + 1;
        Ok(Self { width, windows: windows as usize, top })
    }

    /// Entries of a window that isn't the topmost.
    fn full(self) -> usize {
        1 << (self.width - 1)
    }

    /// Entries of one generator.
    fn entries(self) -> usize {
        (self.windows - 1) * self.full() + self.top
    }

    /// Bytes of the whole table.
    fn bytes(self) -> usize {
        HEADER + WIDTH * self.entries() * ENTRY
    }
}

/// Multiples of the generators, in this process' memory or mapped from a file.
pub struct Tables {
    shape: Shape,
    memory: Box<dyn AsRef<[u8]> + Send + Sync>,
}

impl Tables {
    /// Computes the table of windows of `width` bits into private memory.
    ///
    /// # Errors
    /// [`TableError::Width`].
    pub fn build(width: u32) -> Result<Self, TableError> {
        let shape = Shape::new(width)?;
        let mut bytes = Vec::with_capacity(shape.bytes());
        bytes.resize(HEADER, 0);
        append_entries(shape, &mut bytes);
        let hash = blake3::hash(&bytes[HEADER..]);
        let header = [&MAGIC[..], &width.to_le_bytes(), hash.as_bytes()].concat();
        bytes[..header.len()].copy_from_slice(&header);
        Ok(Self { shape, memory: Box::new(bytes) })
    }

    /// Opens a table that was made before, in any kind of memory, after it hashed the whole table.
    ///
    /// # Errors
    /// [`TableError`] if it isn't the table of this width.
    pub fn open(width: u32, memory: Box<dyn AsRef<[u8]> + Send + Sync>) -> Result<Self, TableError> {
        let shape = Shape::new(width)?;
        let damaged = |what| TableError::Damaged { width, what };
        let bytes = (*memory).as_ref();
        if bytes.len() != shape.bytes() {
            return Err(damaged("its length"));
        }
        let (header, entries) = bytes.split_at(HEADER);
        let hash = blake3::hash(entries);
        if pinned(width).is_some_and(|pinned| hash != pinned) {
            return Err(damaged("its entries"));
        }
        let want = [&MAGIC[..], &width.to_le_bytes(), hash.as_bytes()].concat();
        if header[..want.len()] != want {
            return Err(damaged("its header"));
        }
        Ok(Self { shape, memory })
    }

    /// Returns the bytes, which [`Self::open`] accepts.
    pub fn as_bytes(&self) -> &[u8] {
        (*self.memory).as_ref()
    }

    /// Bits of a window.
    pub fn width(&self) -> u32 {
        self.shape.width
    }

    /// Returns the change of a commitment when the scalar in slot `index` grows by `delta`.
    pub fn commit_delta(&self, index: u8, delta: Fr) -> Element {
        let products = self.products(&[Lane { index, scalar: delta }], &mut Scratch::default());
        to_edwards(&products)
            .into_iter()
            .map(|(x, y)| Element(EdwardsProjective::new_unchecked(x, y, x * y, Fq::from(1))))
            .sum()
    }

    /// Returns scalar·G of each lane, in order.
    pub(crate) fn products(&self, lanes: &[Lane], scratch: &mut Scratch) -> Vec<Point> {
        let entries = self.as_bytes()[HEADER..].as_chunks::<ENTRY>().0;
        let Scratch { choices, points, lengths, sums } = scratch;
        let mut products = Vec::with_capacity(lanes.len());
        // As few batches as possible, all of about the same size: each has its own inversions.
        let batches = lanes.len().div_ceil(LANES_AT_ONCE).max(1);
        for lanes in lanes.chunks(lanes.len().div_ceil(batches).max(1)) {
            // All places first, then all reads: so the reads don't wait for each other, and most of them miss the
            // cache.
            choices.clear();
            lanes.iter().for_each(|lane| self.shape.choose(lane, choices));
            points.clear();
            points.extend(choices.iter().map(|choice| choice.load(entries)));
            lengths.clear();
            lengths.resize(lanes.len(), self.shape.windows);
            sum_runs(points, lengths, sums);
            products.extend_from_slice(points);
        }
        products
    }
}

/// A choice of a table's entry, its inverse, or nothing: the entry's index plus one, negative for the inverse; 0 for
/// nothing.
#[derive(Clone, Copy, Debug)]
struct Choice(i32);

impl Choice {
    fn load(self, entries: &[[u8; ENTRY]]) -> Point {
        if self.0 == 0 {
            return Point::NEUTRAL;
        }
        decode(&entries[self.0.unsigned_abs() as usize - 1]).signed(self.0 < 0)
    }
}

impl Shape {
    /// Appends one choice for each window.
    fn choose(self, lane: &Lane, choices: &mut Vec<Choice>) {
        let mut digits = [0; WINDOWS_MAX];
        let digits = &mut digits[..self.windows];
        signed_digits(&lane.scalar, self.width as usize, digits);
        let first = usize::from(lane.index) * self.entries();
        choices.extend(digits.iter().enumerate().map(|(window, &digit)| {
            // There are at most 2^29 entries (width 13: 2^24).
            let before = (first + window * self.full()) as i32;
            Choice((before + i32::from(digit).abs()) * i32::from(digit).signum())
        }));
    }
}

fn decode(entry: &[u8; ENTRY]) -> Point {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(entry.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let [x0, x1, x2, x3, y0, y1, y2, y3] = words;
    Point { x: Fq::new_unchecked(BigInt([x0, x1, x2, x3])), y: Fq::new_unchecked(BigInt([y0, y1, y2, y3])) }
}

fn encode(point: &Point, entry: &mut [u8; ENTRY]) {
    let words = point.x.0.0.iter().chain(&point.y.0.0);
    for (bytes, word) in entry.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
}

/// Computes all entries: for each generator window by window, and in each window by magnitude.
fn append_entries(shape: Shape, out: &mut Vec<u8>) {
    let mut scratch = affine::Scratch::default();
    let bases = window_bases(shape, &mut scratch);
    for bases in bases.chunks(GENERATORS_AT_ONCE * shape.windows) {
        let start = out.len();
        out.resize(start + bases.len() / shape.windows * shape.entries() * ENTRY, 0);
        let entries = out[start..].as_chunks_mut::<ENTRY>().0;
        let mut multiples = bases.to_vec();
        for magnitude in 1..=shape.full() {
            for (i, multiple) in multiples.iter().enumerate() {
                let (generator, window) = (i / shape.windows, i % shape.windows);
                if window + 1 < shape.windows || magnitude <= shape.top {
                    let place = generator * shape.entries() + window * shape.full() + magnitude - 1;
                    encode(multiple, &mut entries[place]);
                }
            }
            add_all(&mut multiples, bases, &mut scratch);
        }
    }
}

/// Returns 2^(w·width)·G for each generator and, within one, each window w.
fn window_bases(shape: Shape, scratch: &mut affine::Scratch) -> Vec<Point> {
    let generators: Vec<EdwardsProjective> = crs().g.iter().map(|element| element.0).collect();
    let affine = EdwardsProjective::normalize_batch(&generators);
    let mut powers = from_edwards(&affine.iter().map(|point| (point.x, point.y)).collect::<Vec<_>>());
    let mut bases = vec![Point::NEUTRAL; WIDTH * shape.windows];
    for window in 0..shape.windows {
        for (generator, power) in powers.iter().enumerate() {
            bases[generator * shape.windows + window] = *power;
        }
        for _ in 0..shape.width {
            let same = powers.clone();
            add_all(&mut powers, &same, scratch);
        }
    }
    bases
}

/// Adds `others` to `sums`, point by point.
fn add_all(sums: &mut Vec<Point>, others: &[Point], scratch: &mut affine::Scratch) {
    let mut pairs: Vec<Point> = sums.iter().zip(others).flat_map(|(sum, other)| [*sum, *other]).collect();
    let mut lengths = vec![2; sums.len()];
    sum_runs(&mut pairs, &mut lengths, scratch);
    *sums = pairs;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::from_hash;

    fn scalars() -> Vec<Fr> {
        let mut scalars: Vec<Fr> = (0..20_u8).map(|i| from_hash(&[i.wrapping_mul(91); 32])).collect();
        scalars.extend([0_u64, 1, 2, 8, 9, 511, 512, 513, u64::MAX].map(Fr::from));
        scalars.extend([1_u64, 2, 512, 513].map(|small| -Fr::from(small)));
        scalars
    }

    #[test]
    fn products_are_products() {
        for width in [4, 5, 7] {
            let tables = Tables::build(width).unwrap();
            for (i, scalar) in scalars().into_iter().enumerate() {
                let index = (i * 37) as u8;
                assert_eq!(tables.commit_delta(index, scalar), crs().g[usize::from(index)] * scalar);
            }
        }
    }

    #[test]
    fn a_file_has_the_pinned_table() {
        // Widths 10 and 12 are the usual ones, but they take seconds to build with all the rest: `--example tree` opens
        // them.
        assert!(Tables::open(8, Box::new(Tables::build(8).unwrap().as_bytes().to_vec())).is_ok());
        assert!(PINNED.iter().all(|(width, _)| pinned(*width).is_some()));
    }

    #[test]
    fn a_damaged_table_is_refused() {
        let built = Tables::build(4).unwrap();
        let reopened = |change: fn(&mut Vec<u8>)| {
            let mut bytes = built.as_bytes().to_vec();
            change(&mut bytes);
            Tables::open(4, Box::new(bytes)).map(|tables| tables.width())
        };
        assert_eq!(reopened(|_| {}), Ok(4));
        let damages: [fn(&mut Vec<u8>); 5] = [
            |bytes| bytes[0] ^= 1,
            |bytes| bytes[24] ^= 1,
            |bytes| bytes[30] ^= 1,
            |bytes| bytes[HEADER + 100_000] ^= 4,
            |bytes| bytes.push(0),
        ];
        for damage in damages {
            assert!(reopened(damage).is_err());
        }
        assert_eq!(Tables::build(3).map(|tables| tables.width()), Err(TableError::Width(3)));
    }
}
