//! Poseidon over BN254's scalar field with circom's parameters, written once for numbers and for wires of a circuit.
//!
//! The constants are circomlib's (made by the authors' script). The files `poseidon_*.bin` have them, and a test
//! compares them with light-poseidon's. They are rewritten once into the equivalent form with sparse matrices in the
//! partial rounds (Grassi and others 2021, appendix B), which costs fewer than half the multiplications. The capacity
//! starts at the hash's domain. circomlib calls this `PoseidonEx` with that `initialState`, and plain `Poseidon` if it
//! is 0.

use std::convert::Infallible;
use std::sync::LazyLock;

use ark_bn254::Fr;
use ark_ff::{Field, One, Zero};

use super::field::{Element, element_from_bytes};

/// The purpose of a hash: the first element of Poseidon's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum HashDomain {
    /// A node of the tree over its four children: plain circomlib `Poseidon(4)`.
    Node = 0,
    /// A note's commitment, over asset, value, owner and blinding.
    Note = 1,
    /// An owner, over spending key and nullifier key.
    Owner = 2,
    /// A nullifier, over nullifier key, commitment and position.
    Nullifier = 3,
    /// A rollup's batch, over the hash of the transfers before and a transfer.
    Batch = 4,
}

/// Full rounds before and after the partial ones.
const HALF: usize = 4;

/// A value that Poseidon can hash: a number, or a wire of a circuit that carries one.
pub trait Word: Clone {
    /// Reason why a product couldn't be made.
    type Error;

    /// Returns a constant.
    fn constant(value: Element) -> Self;
    /// Adds a constant.
    fn add_constant(&mut self, value: &Element);
    /// Adds `factor` times another value.
    fn add_scaled(&mut self, factor: &Element, other: &Self);
    /// Returns the sum of each word times its factor.
    fn dot<const T: usize>(factors: &[Element; T], words: &[Self; T]) -> Self;
    /// Applies the S-box.
    fn power_5(&self) -> Result<Self, Self::Error>;
}

impl Word for Fr {
    type Error = Infallible;

    fn constant(value: Fr) -> Self {
        value
    }

    fn add_constant(&mut self, value: &Fr) {
        *self += value;
    }

    fn add_scaled(&mut self, factor: &Fr, other: &Self) {
        *self += *factor * other;
    }

    fn dot<const T: usize>(factors: &[Fr; T], words: &[Self; T]) -> Self {
        Fr::sum_of_products(factors, words)
    }

    fn power_5(&self) -> Result<Self, Infallible> {
        Ok(self.square().square() * self)
    }
}

type Matrix<const T: usize> = [[Element; T]; T];

/// One partial round: the constant, then the sparse matrix whose first row and column these are.
struct Partial<const T: usize> {
    constant: Element,
    row: [Element; T],
    column: [Element; T],
}

/// The permutation of `T` elements.
pub struct Permutation<const T: usize> {
    full_constants: [[Element; T]; 2 * HALF],
    mds: Matrix<T>,
    /// The matrix that ends the last full round before the partial ones: the dense rest of all their matrices.
    into_partial: Matrix<T>,
    partial: Vec<Partial<T>>,
}

impl<const T: usize> Permutation<T> {
    /// Returns the state after all rounds.
    pub fn apply<W: Word>(&self, mut state: [W; T]) -> Result<[W; T], W::Error> {
        for (round, constants) in self.full_constants[..HALF].iter().enumerate() {
            let matrix = if round + 1 == HALF { &self.into_partial } else { &self.mds };
            state = full_round(state, constants, matrix)?;
        }
        for round in &self.partial {
            state[0].add_constant(&round.constant);
            state[0] = state[0].power_5()?;
            let first = W::dot(&round.row, &state);
            let [powered, rest @ ..] = state.as_mut_slice() else { continue };
            for (word, factor) in rest.iter_mut().zip(&round.column[1..]) {
                word.add_scaled(factor, powered);
            }
            *powered = first;
        }
        for constants in &self.full_constants[HALF..] {
            state = full_round(state, constants, &self.mds)?;
        }
        Ok(state)
    }

    /// Returns the permutation with circom's constants, in a width that the pool uses: `T` from 3 to 5.
    pub fn published() -> Self {
        const { assert!(T >= 3 && T <= 5) };
        // Each file has the constants, `T` a round, then the rows of the matrix.
        let bytes: &[u8] = match T {
            3 => include_bytes!("poseidon_3.bin"),
            4 => include_bytes!("poseidon_4.bin"),
            _ => include_bytes!("poseidon_5.bin"),
        };
        let numbers: Result<Vec<Element>, _> = bytes.as_chunks().0.iter().map(element_from_bytes).collect();
        let Ok(numbers) = numbers else { unreachable!("a test compares each number in the files") };
        let (constants, mds) = numbers.split_at(numbers.len() - T * T);
        Self::new(constants, &mds.chunks_exact(T).map(<[Element]>::to_vec).collect::<Vec<_>>())
    }

    /// Creates a permutation from the published round constants (`T` a round) and the MDS matrix.
    pub fn new(constants: &[Element], mds: &[Vec<Element>]) -> Self {
        let mds: Matrix<T> = std::array::from_fn(|row| std::array::from_fn(|column| mds[row][column]));
        let constants: Vec<[Element; T]> =
            constants.chunks_exact(T).map(|round| std::array::from_fn(|at| round[at])).collect();
        let partial_rounds = constants.len() - 2 * HALF;
        let (before, rest) = constants.split_at(HALF);
        let (between, after) = rest.split_at(partial_rounds);

        // A constant on a word that meets no S-box commutes with the round's S-box. It can move through the matrix into
        // the next round, so that only the first word of each partial round keeps one.
        let mut carried = [Fr::zero(); T];
        let mut firsts = Vec::with_capacity(partial_rounds);
        for round in between {
            let mut sum: [Element; T] = std::array::from_fn(|at| round[at] + carried[at]);
            firsts.push(sum[0]);
            sum[0] = Fr::zero();
            carried = multiply_vector(&mds, &sum);
        }
        let mut full_constants = [[Fr::zero(); T]; 2 * HALF];
        full_constants[..HALF].copy_from_slice(before);
        full_constants[HALF..].copy_from_slice(after);
        full_constants[HALF] = std::array::from_fn(|at| after[0][at] + carried[at]);

        // Last round first: matrix = sparse · block, where the block leaves the first word unchanged, so it commutes
        // with the round's constant and S-box and joins the previous matrix.
        let mut partial = Vec::with_capacity(partial_rounds);
        let mut matrix = mds;
        for constant in firsts.into_iter().rev() {
            let (row, column, block) = factor(&matrix);
            partial.push(Partial { constant, row, column });
            matrix = multiply(&block, &mds);
        }
        partial.reverse();
        Self { full_constants, mds, into_partial: matrix, partial }
    }
}

fn full_round<const T: usize, W: Word>(
    mut state: [W; T],
    constants: &[Element; T],
    matrix: &Matrix<T>,
) -> Result<[W; T], W::Error> {
    for (word, constant) in state.iter_mut().zip(constants) {
        word.add_constant(constant);
        *word = word.power_5()?;
    }
    Ok(std::array::from_fn(|row| W::dot(&matrix[row], &state)))
}

fn multiply_vector<const T: usize>(matrix: &Matrix<T>, vector: &[Element; T]) -> [Element; T] {
    std::array::from_fn(|row| Fr::sum_of_products(&matrix[row], vector))
}

fn multiply<const T: usize>(left: &Matrix<T>, right: &Matrix<T>) -> Matrix<T> {
    std::array::from_fn(|row| {
        std::array::from_fn(|column| (0..T).map(|at| left[row][at] * right[at][column]).sum::<Fr>())
    })
}

/// Splits `matrix` into sparse · block. Returns the sparse one's first row and first column, and the block, whose first
/// row and column are those of the identity.
fn factor<const T: usize>(matrix: &Matrix<T>) -> ([Element; T], [Element; T], Matrix<T>) {
    let mut block = *matrix;
    block[0] = std::array::from_fn(|at| if at == 0 { Fr::one() } else { Fr::zero() });
    for row in &mut block[1..] {
        row[0] = Fr::zero();
    }
    let inverse = invert(&block);
    let row = std::array::from_fn(|column| {
        if column == 0 { matrix[0][0] } else { (1..T).map(|at| matrix[0][at] * inverse[at][column]).sum() }
    });
    (row, std::array::from_fn(|at| matrix[at][0]), block)
}

/// Inverts a matrix by Gauss and Jordan. The minors of an MDS matrix are invertible. A matrix that isn't would give
/// zeros, and no test vector would hold.
fn invert<const T: usize>(matrix: &Matrix<T>) -> Matrix<T> {
    let mut left = *matrix;
    let mut right: Matrix<T> =
        std::array::from_fn(|row| std::array::from_fn(|at| if at == row { Fr::one() } else { Fr::zero() }));
    for pivot in 0..T {
        if let Some(row) = (pivot..T).find(|row| !left[*row][pivot].is_zero()) {
            left.swap(pivot, row);
            right.swap(pivot, row);
        }
        let inverse = left[pivot][pivot].inverse().unwrap_or_default();
        for at in 0..T {
            left[pivot][at] *= inverse;
            right[pivot][at] *= inverse;
        }
        for row in (0..T).filter(|row| *row != pivot) {
            let factor = left[row][pivot];
            for at in 0..T {
                let (from_left, from_right) = (left[pivot][at], right[pivot][at]);
                left[row][at] -= factor * from_left;
                right[row][at] -= factor * from_right;
            }
        }
    }
    right
}

static OF_3: LazyLock<Permutation<3>> = LazyLock::new(Permutation::published);
static OF_4: LazyLock<Permutation<4>> = LazyLock::new(Permutation::published);
static OF_5: LazyLock<Permutation<5>> = LazyLock::new(Permutation::published);

/// Returns Poseidon of two words.
pub fn hash_2<W: Word>(domain: HashDomain, [a, b]: [W; 2]) -> Result<W, W::Error> {
    let [out, ..] = OF_3.apply([start(domain), a, b])?;
    Ok(out)
}

/// Returns Poseidon of three words.
pub fn hash_3<W: Word>(domain: HashDomain, [a, b, c]: [W; 3]) -> Result<W, W::Error> {
    let [out, ..] = OF_4.apply([start(domain), a, b, c])?;
    Ok(out)
}

/// Returns Poseidon of four words.
pub fn hash_4<W: Word>(domain: HashDomain, [a, b, c, d]: [W; 4]) -> Result<W, W::Error> {
    let [out, ..] = OF_5.apply([start(domain), a, b, c, d])?;
    Ok(out)
}

fn start<W: Word>(domain: HashDomain) -> W {
    W::constant(Fr::from(domain as u8))
}

/// Returns the node over four children.
pub fn hash_node(children: &[Element; 4]) -> Element {
    let Ok(node) = hash_4(HashDomain::Node, *children);
    node
}
