//! Changes inputs as damage or an attacker would: bits, integers, lengths; pieces moved, doubled, cut, and taken from
//! other inputs.
//!
//! *Invariants:* the same seed makes the same changes; a result is never longer than `BYTES_MAX`.

/// Bytes of the longest input made: long enough for every list to pass its first allocation.
pub const BYTES_MAX: usize = 64 * 1024;

/// Integers at which decoders go wrong.
const EDGES: [u64; 14] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    i64::MAX as u64,
    u64::MAX,
];
/// Pieces of text that mean something to some decoder.
const WORDS: [&[u8]; 14] = [
    b"0",
    b"-1",
    b"18446744073709551616",
    b"1e309",
    b"null",
    b"\"\"",
    b"{}",
    b"[",
    b"\\u0000",
    b"%00",
    b"..",
    b"rs1",
    b"\n",
    b",",
];

/// A stream of draws (SplitMix64).
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// Returns the draws of a seed and a name.
    pub fn new(seed: u64, name: &str) -> Self {
        let hash = blake3::hash(name.as_bytes());
        Self(hash.as_bytes()[..8].iter().fold(seed, |mixed, byte| mixed.rotate_left(8) ^ u64::from(*byte)))
    }

    /// Returns the next draw.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of the numbers below `end`; 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        (self.draw() % (end.max(1) as u64)) as usize
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        // Mostly short pieces, so that the data behind them is still read.
        let most = if self.below(4) == 0 { len } else { 16 };
        start..start + self.below((len - start).min(most) + 1)
    }
}

/// An input made from one of `corpus`, which is not empty.
pub fn mutated(corpus: &[Vec<u8>], draws: &mut Draws) -> Vec<u8> {
    let mut bytes = draws.of(corpus).clone();
    for _ in 0..=draws.below(4) {
        change(&mut bytes, corpus, draws);
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], draws: &mut Draws) {
    let len = bytes.len();
    match draws.below(11) {
        0 if len > 0 => bytes[draws.below(len)] ^= 1 << draws.below(8),
        1 if len > 0 => bytes[draws.below(len)] = draws.draw() as u8,
        2 if len > 0 => bytes[draws.below(len)] = *draws.of(&EDGES) as u8,
        3 | 4 => write_integer(bytes, draws),
        5 => drop(bytes.drain(draws.range(len))),
        6 => {
            let piece = bytes[draws.range(len)].to_vec();
            insert(bytes, &piece, draws);
        }
        7 => {
            let piece: Vec<u8> = (0..draws.below(16)).map(|_| draws.draw() as u8).collect();
            insert(bytes, &piece, draws);
        }
        8 => {
            let other = draws.of(corpus);
            let piece = other[draws.range(other.len())].to_vec();
            insert(bytes, &piece, draws);
        }
        9 => {
            let word = *draws.of(&WORDS);
            insert(bytes, word, draws);
        }
        _ => bytes.truncate(draws.below(len + 1)),
    }
}

fn insert(bytes: &mut Vec<u8>, piece: &[u8], draws: &mut Draws) {
    let at = draws.below(bytes.len() + 1);
    // In place of as many bytes, or between them.
    let end = if draws.below(2) == 0 { at } else { (at + piece.len()).min(bytes.len()) };
    bytes.splice(at..end, piece.iter().copied());
}

/// Writes an extreme integer, or a length near an existing one; little-endian like all lengths.
fn write_integer(bytes: &mut [u8], draws: &mut Draws) {
    let width = *draws.of(&[1, 2, 4, 8]);
    let Some(last) = bytes.len().checked_sub(width) else { return };
    let place = draws.below(last + 1);
    let place = &mut bytes[place..place + width];
    let mut held = [0; 8];
    held[..width].copy_from_slice(place);
    let value = match draws.below(2) {
        0 => *draws.of(&EDGES),
        _ => u64::from_le_bytes(held).wrapping_add(draws.below(5) as u64).wrapping_sub(2),
    };
    place.copy_from_slice(&value.to_le_bytes()[..width]);
}
