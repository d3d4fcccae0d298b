//! Prints what shielded transfers cost: `cargo run --release -p rustorium-zk --example shielded_bench [RUNS [FOLDER]]`.
//!
//! Times are medians of the thread's processor time. The last line is JSON, for `benches/zk.py`. A folder gets the transfer
//! that is measured as `transfer.zkey` and `transfer.wtns`, for snarkjs to prove the same.

#[path = "common/zkey.rs"]
mod zkey;

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::num::NonZeroU64;
use std::time::Duration;

use ark_bls12_381::Bls12_381;
use ark_bn254::{Bn254, G1Projective};
use ark_ec::VariableBaseMSM;
use ark_ec::pairing::Pairing;
use ark_ff::PrimeField;
use ark_groth16::Groth16;
use ark_groth16::r1cs_to_qap::LibsnarkReduction;
use ark_relations::gr1cs::{
    ConstraintSynthesizer, ConstraintSystem, ConstraintSystemRef, SynthesisError, SynthesisMode,
};
use light_poseidon::parameters::bn254_x5;
use rustix::time::{ClockId, clock_gettime};
use rustorium_types::{AssetId, ChainId};
use rustorium_zk::shielded::circuit::TransferCircuit;
use rustorium_zk::shielded::field::Element;
use rustorium_zk::shielded::keys::SpendingKey;
use rustorium_zk::shielded::memo::{Memo, SEALED_BYTES};
use rustorium_zk::shielded::note::{AssetTag, Commitment, Pool};
use rustorium_zk::shielded::poseidon::Permutation;
use rustorium_zk::shielded::prove::{DEVNET_WARNING, Matrices, Prover};
use rustorium_zk::shielded::scan::{Record, ViewingKey, Wallet};
use rustorium_zk::shielded::transfer::{Flow, Payment, UnprovenTransfer, prepare};
use rustorium_zk::shielded::tree::{LEVELS, Path, Tree};
use rustorium_zk::shielded::wire::{Circuit, Wire};
use rustorium_zk::{Key, verify_all};

/// Figures that `benches/zk.py` reads, by name.
type Figures = BTreeMap<&'static str, u128>;

type Plain = Groth16<Bn254, LibsnarkReduction>;

const POOL: Pool = Pool { chain: ChainId([7; 32]), number: 0 };

fn main() -> Result<(), Box<dyn Error>> {
    let runs: usize = std::env::args().nth(1).map_or(Ok(11), |text| text.parse())?;
    let folder = std::env::args().nth(2);
    let (mut out, mut figures) = (std::io::stdout().lock(), Figures::new());
    figures.insert("constraints", constraints(&mut out)? as u128);
    hashes(&mut out)?;
    appends(&mut out, &mut figures)?;
    let asset = AssetTag::new(&POOL, &AssetId([1; 32]));
    let (wallet, key) = funded(asset)?;
    let transfer = transfer(&wallet, &key, asset)?;
    let prover = proofs(&mut out, &transfer, runs, &mut figures)?;
    if let Some(folder) = folder {
        let assignment = prover.assignment(&transfer)?;
        let zkey = zkey::key(prover.proving_key(), prover.matrices());
        std::fs::write(std::path::Path::new(&folder).join("transfer.zkey"), zkey)?;
        std::fs::write(std::path::Path::new(&folder).join("transfer.wtns"), zkey::witness(&assignment))?;
    } else {
        other_curve(&mut out, runs)?;
    }
    scans(&mut out, &transfer, runs, &mut figures)?;
    let figures: Vec<String> = figures.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    writeln!(out, "{{{}}}", figures.join(", "))?;
    Ok(())
}

fn now() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

fn median<T>(runs: usize, mut work: impl FnMut() -> T) -> Duration {
    let mut times: Vec<Duration> = (0..runs.max(1))
        .map(|_| {
            let start = now();
            black_box(work());
            now() - start
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn measured(build: impl FnOnce(&Circuit) -> Result<(), SynthesisError>) -> Result<usize, SynthesisError> {
    let system = ConstraintSystem::new_ref();
    system.set_mode(SynthesisMode::Setup);
    build(&Circuit::new(system.clone()))?;
    Ok(system.num_constraints())
}

/// Constraints of one level of a path of this arity: choose by bits, then hash.
fn level<const CHILDREN: usize, const WIDTH: usize>() -> Result<usize, SynthesisError> {
    measured(|circuit| {
        let node = circuit.private(Element::from(0u64))?;
        let mut state: [Wire; WIDTH] = std::array::from_fn(|_| Wire::zero());
        for child in &mut state[1..] {
            *child = circuit.private(Element::from(0u64))?;
        }
        let mut candidates: Vec<Wire> = state[1..].to_vec();
        while candidates.len() > 2 {
            let bit = circuit.bit(false)?;
            let halves: Result<Vec<Wire>, _> =
                candidates.chunks_exact(2).map(|pair| circuit.select(&bit, &pair[0], &pair[1])).collect();
            candidates = halves?;
        }
        let bit = circuit.bit(false)?;
        circuit.enforce_product(&bit, &candidates[1].minus(&candidates[0]), &node.minus(&candidates[0]))?;
        assert_eq!(CHILDREN + 1, WIDTH);
        permutation::<WIDTH>().apply(state).map(|_| ())
    })
}

fn constraints(out: &mut impl Write) -> Result<usize, Box<dyn Error>> {
    let matrices = Matrices::of_transfer()?;
    let total = matrices.constraints();
    writeln!(out, "transfer: constraints           {total:>10}")?;
    writeln!(out, "  with public inputs, of {:>6}   {:>10}", 1 << 14, total + matrices.instances())?;
    writeln!(out, "  variables the prover chooses  {:>10}", matrices.witnesses())?;
    writeln!(out, "  entries of the matrices       {:>10}", matrices.entries())?;
    let paths = 2 * LEVELS * level::<4, 5>()?;
    for (arity, levels, each) in [(2, 32, level::<2, 3>()?), (4, 16, level::<4, 5>()?), (8, 11, level::<8, 9>()?)] {
        let with = total - paths + 2 * levels * each;
        writeln!(out, "  arity {arity}, {levels:>2} levels of {each:>3}      {with:>10}")?;
    }
    Ok(total)
}

/// Returns the permutation with circom's constants, in any width.
fn permutation<const WIDTH: usize>() -> Permutation<WIDTH> {
    let Ok(parameters) = bn254_x5::get_poseidon_parameters::<Element>(WIDTH as u8) else {
        unreachable!("there are parameters for each width from 2 to 13")
    };
    Permutation::new(&parameters.ark, &parameters.mds)
}

fn hash_time<const WIDTH: usize>() -> Duration {
    let permutation = permutation::<WIDTH>();
    let mut state: [Element; WIDTH] = std::array::from_fn(|at| Element::from(at as u64));
    median(21, || {
        for _ in 0..100 {
            let Ok(next) = permutation.apply(state);
            state = next;
        }
        state[0]
    }) / 100
}

fn hashes(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    use light_poseidon::{Poseidon, PoseidonHasher};
    for (inputs, time) in [(2, hash_time::<3>()), (3, hash_time::<4>()), (4, hash_time::<5>()), (8, hash_time::<9>())] {
        let mut plain = Poseidon::<Element>::new_circom(inputs)?;
        let numbers: Vec<Element> = (0..inputs as u64).map(Element::from).collect();
        let there = median(21, || (0..100).filter_map(|_| plain.hash(&numbers).ok()).last()) / 100;
        let (time, there) = (time.as_nanos(), there.as_nanos());
        writeln!(out, "hash of {inputs} (light-poseidon {there:>6})  {time:>8} ns")?;
    }
    Ok(())
}

fn leaves(count: u64) -> Vec<Commitment> {
    (0..count).map(|at| Commitment(Element::from(at + 1))).collect()
}

fn appends(out: &mut impl Write, figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let mut start = Tree::default();
    start.append(&leaves(12_345))?;
    for count in [2u32, 16, 128, 1_000, 4_000] {
        let batch = leaves(count.into());
        let time = median(11, || start.clone().append(&batch).map(|root| root.0));
        let hashes = start.hashes(count.into());
        let name = match count {
            16 => Some("hashes_of_16_leaves"),
            128 => Some("hashes_of_128_leaves"),
            1_000 => Some("hashes_of_1000_leaves"),
            _ => None,
        };
        figures.extend(name.map(|name| (name, u128::from(hashes))));
        let (whole, tenths) = (10 * hashes / u64::from(count) / 10, 10 * hashes / u64::from(count) % 10);
        writeln!(
            out,
            "append {count:>5}: {hashes:>5} hashes, {whole}.{tenths} each  {:>6} us, {:>5} ns a leaf",
            time.as_micros(),
            (time / count).as_nanos()
        )?;
    }
    Ok(())
}

/// A wallet with two notes in a tree of some thousand.
fn funded(asset: AssetTag) -> Result<(Wallet, SpendingKey), Box<dyn Error>> {
    let key = SpendingKey::derive(&[1; 32], 0);
    let mut tree = Tree::default();
    tree.append(&leaves(9_999))?;
    let mut wallet = Wallet::since(ViewingKey::Full(key.viewing().clone()), tree);
    for value in [700, 400] {
        let public = NonZeroU64::new(value).map(Flow::In);
        let plan = wallet.plan(POOL, asset, None, public)?;
        let shield = prepare(&key, &plan, &[], &[value as u8; 32])?;
        wallet.scan(&[record(&shield)])?;
    }
    Ok((wallet, key))
}

fn record(transfer: &UnprovenTransfer) -> Record {
    Record {
        nullifiers: *transfer.statement.nullifiers(),
        commitments: *transfer.statement.commitments(),
        sealed: transfer.sealed.clone(),
    }
}

fn transfer(wallet: &Wallet, key: &SpendingKey, asset: AssetTag) -> Result<UnprovenTransfer, Box<dyn Error>> {
    let to = SpendingKey::derive(&[2; 32], 0).address();
    let payment = Payment { to, value: 1_000, memo: Memo::new(b"invoice 17")? };
    let plan = wallet.plan(POOL, asset, Some(payment), None)?;
    Ok(prepare(key, &plan, b"context", &[9; 32])?)
}

fn proofs(
    out: &mut impl Write,
    transfer: &UnprovenTransfer,
    runs: usize,
    figures: &mut Figures,
) -> Result<Prover, Box<dyn Error>> {
    writeln!(out, "({DEVNET_WARNING})")?;
    let start = now();
    let prover = Prover::insecure_devnet()?;
    writeln!(out, "setup                           {:>10} ms", (now() - start).as_millis())?;
    let witness = median(runs, || prover.assignment(transfer).map(|values| values.len()));
    writeln!(out, "witness, checked                {:>10} us", witness.as_micros())?;
    let prove = median(runs, || prover.prove(transfer, &[3; 32]).is_ok());
    writeln!(out, "prove                           {:>10} ms", prove.as_millis())?;
    let circuit = || TransferCircuit { public: transfer.statement.public_inputs(), witness: transfer.witness.clone() };
    let mut random = ark_std::test_rng();
    let plain = median(runs.div_ceil(2), || {
        Plain::create_random_proof_with_reduction(circuit(), prover.proving_key(), &mut random).is_ok()
    });
    writeln!(out, "  plain ark-groth16             {:>10} ms", plain.as_millis())?;
    figures.extend([("prove_ns", prove.as_nanos()), ("plain_prove_ns", plain.as_nanos())]);
    let proof = prover.prove(transfer, &[3; 32])?;
    let key = Key::from_bytes(&prover.verifying_key())?;
    let verify = median(10 * runs, || transfer.statement.claim(&key, &proof)?.verify());
    writeln!(out, "verify, from bytes              {:>10} us", verify.as_micros())?;
    let claims = vec![transfer.statement.claim(&key, &proof)?; 128];
    let batch = median(runs, || verify_all(&claims).iter().all(Result::is_ok)) / 128;
    writeln!(out, "verify, one of a batch of 128   {:>10} us", batch.as_micros())?;
    figures.extend([("verify_ns", verify.as_nanos()), ("verify_batch_ns", batch.as_nanos())]);
    let (points, inputs) = (&prover.proving_key().vk.gamma_abc_g1, transfer.statement.public_inputs());
    let sum = median(10 * runs, || G1Projective::msm_unchecked(&points[1..], &inputs));
    writeln!(out, "  of it for the 8 inputs        {:>10} us", sum.as_micros())?;
    let sum = median(10 * runs, || G1Projective::msm_unchecked(&points[1..2], &inputs[..1]));
    writeln!(out, "  for one input instead         {:>10} us", sum.as_micros())?;
    Ok(prover)
}

/// Products in a row: as many constraints and variables as a transfer has.
struct Chain(usize);

impl<F: PrimeField> ConstraintSynthesizer<F> for Chain {
    fn generate_constraints(self, system: ConstraintSystemRef<F>) -> Result<(), SynthesisError> {
        let mut value = F::from(3u64).pow([12_345u64]);
        let mut variable = system.new_witness_variable(|| Ok(value))?;
        for _ in 0..self.0 {
            value.square_in_place();
            let square = system.new_witness_variable(|| Ok(value))?;
            let of = variable;
            system.enforce_r1cs_constraint(|| of.into(), || of.into(), || square.into())?;
            variable = square;
        }
        Ok(())
    }
}

fn chain_time<E: Pairing>(constraints: usize, runs: usize) -> Result<Duration, Box<dyn Error>> {
    let mut random = ark_std::test_rng();
    let key = Groth16::<E>::generate_random_parameters_with_reduction(Chain(constraints), &mut random)?;
    let mut prove = || Groth16::<E>::create_random_proof_with_reduction(Chain(constraints), &key, &mut random).is_ok();
    Ok(median(runs, &mut prove))
}

/// Measures the same number of constraints on each curve.
fn other_curve(out: &mut impl Write, runs: usize) -> Result<(), Box<dyn Error>> {
    let constraints = Matrices::of_transfer()?.constraints();
    let (bn, bls) = (chain_time::<Bn254>(constraints, runs)?, chain_time::<Bls12_381>(constraints, runs)?);
    writeln!(out, "{constraints} products: BN254            {:>10} ms", bn.as_millis())?;
    writeln!(out, "{constraints} products: BLS12-381        {:>10} ms", bls.as_millis())?;
    Ok(())
}

fn scans(
    out: &mut impl Write,
    transfer: &UnprovenTransfer,
    runs: usize,
    figures: &mut Figures,
) -> Result<(), Box<dyn Error>> {
    const TRANSFERS: u32 = 1_000;
    let records = vec![record(transfer); TRANSFERS as usize];
    let stranger = SpendingKey::derive(&[4; 32], 0);
    let incoming = ViewingKey::Incoming(stranger.viewing().incoming().clone());
    let full = ViewingKey::Full(stranger.viewing().clone());
    writeln!(out, "encrypted part of a transfer    {SEALED_BYTES:>10} bytes")?;
    for (what, key) in [("incoming", incoming), ("full", full)] {
        let look = median(runs, || records.iter().filter(|record| key.look(record).received[0].is_some()).count());
        let each = look / (2 * TRANSFERS);
        let rate = Duration::from_secs(1).as_nanos() / each.as_nanos().max(1);
        writeln!(out, "trial decryption, {what:<8}      {:>10} ns an output, {rate} a second", each.as_nanos())?;
    }
    let mut wallet = Wallet::new(ViewingKey::Full(stranger.viewing().clone()));
    let scan = median(runs, || wallet.scan(&records).is_ok()) / (2 * TRANSFERS);
    let rate = Duration::from_secs(1).as_nanos() / scan.as_nanos().max(1);
    writeln!(out, "whole scan with the tree        {:>10} ns an output, {rate} a second", scan.as_nanos())?;
    figures.insert("scan_ns", scan.as_nanos());
    let path = Path::new(0);
    let root = median(101, || path.root(&Commitment(Element::from(1u64))));
    writeln!(out, "path to a root                  {:>10} us", root.as_micros())?;
    Ok(())
}
