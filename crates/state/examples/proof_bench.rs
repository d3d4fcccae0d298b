//! Prints what committing, proving and checking cost: `cargo run --release --example proof_bench [ROUNDS]`.
//!
//! Times are medians of the thread's processor time.

use rustix::time::{ClockId, clock_gettime};
use rustorium_state::{Element, Fr, MultiProof, ProverQuery, Transcript, WIDTH, commit, crs, msm, multiproof, scalar};
use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

const LABEL: &[u8] = b"proof_bench";

fn main() -> Result<(), Box<dyn Error>> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(21), |text| text.parse())?;
    let mut out = std::io::stdout().lock();
    let start = now();
    black_box(crs::crs());
    writeln!(out, "crs decoded                     {:>10} us", (now() - start).as_micros())?;
    let start = now();
    black_box(crs::derive(WIDTH));
    writeln!(out, "crs derived                     {:>10} us", (now() - start).as_micros())?;
    let start = now();
    let polynomial = polynomial(0);
    black_box(commit(&polynomial));
    writeln!(out, "first commitment (makes table)  {:>10} us", (now() - start).as_micros())?;
    let commitment = median(rounds, || commit(&polynomial));
    writeln!(out, "commitment of 256 values        {:>10} us", commitment.as_micros())?;
    elements(&mut out, rounds)?;
    for count in [16, 64, 128, 192, 256, 512, 1_250, 4_096] {
        let terms: Vec<(Element, Fr)> = (0..count).map(|i| (crs::crs().g[i % WIDTH], random(i as u64))).collect();
        let time = median(rounds, || msm::msm(&terms));
        writeln!(out, "sum of {count:>5} multiples          {:>10} us", time.as_micros())?;
    }
    for queries in [1, 3, 10, 100, 1_000, 2_250] {
        proofs(&mut out, queries, rounds)?;
    }
    Ok(())
}

fn elements(out: &mut impl Write, rounds: usize) -> Result<(), Box<dyn Error>> {
    let count = u32::try_from(WIDTH)?;
    // Sums, so that z isn't one.
    let elements = crs::crs().g.map(|point| point + Element::generator());
    let encoded = Element::batch_to_bytes(&elements);
    let each = [
        ("encoding, batched", median(rounds, || Element::batch_to_bytes(&elements).len())),
        ("map to field, batched", median(rounds, || Element::batch_map_to_field(&elements).len())),
        ("decoding, batched", median(rounds, || Element::batch_from_bytes(&encoded).map(|all| all.len()))),
        ("decoding", median(rounds, || encoded.iter().filter(|bytes| Element::from_bytes(bytes).is_ok()).count())),
    ];
    for (what, time) in each {
        writeln!(out, "{what:<31} {:>10} ns", (time / count).as_nanos())?;
    }
    Ok(())
}

fn proofs(out: &mut impl Write, count: usize, rounds: usize) -> Result<(), Box<dyn Error>> {
    // This is as in a tree of a million keys: a node for every second query.
    let nodes: Vec<[Fr; WIDTH]> = (0..count.div_ceil(2) as u64).map(polynomial).collect();
    let commitments: Vec<Element> = nodes.iter().map(commit).collect();
    let queries: Vec<ProverQuery<'_>> = (0..count)
        .map(|i| ProverQuery { commitment: commitments[i / 2], polynomial: &nodes[i / 2], index: (i * 77 % 256) as u8 })
        .collect();
    let opened: Vec<_> = queries.iter().map(ProverQuery::opened).collect();
    let prove = median(rounds, || multiproof::prove(&mut Transcript::new(LABEL), &queries));
    let bytes = multiproof::prove(&mut Transcript::new(LABEL), &queries).to_bytes();
    let encoded = Element::batch_to_bytes(&commitments);
    // With decoding of the proof and of its commitments.
    let verify = median(rounds, || {
        let proof = MultiProof::from_bytes(&bytes)?;
        black_box(Element::batch_from_bytes(&encoded)?);
        multiproof::verify(&mut Transcript::new(LABEL), &proof, &opened)
    });
    multiproof::verify(&mut Transcript::new(LABEL), &MultiProof::from_bytes(&bytes)?, &opened)?;
    writeln!(
        out,
        "proof of {count:>5} queries: made in    {:>10} us, checked in {:>10} us",
        prove.as_micros(),
        verify.as_micros()
    )?;
    Ok(())
}

fn random(seed: u64) -> Fr {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&seed.to_le_bytes());
    let square = scalar::from_hash(&hash) + Fr::from(u64::MAX);
    square * square * square * square * square
}

fn polynomial(seed: u64) -> [Fr; WIDTH] {
    std::array::from_fn(|i| random(seed * 256 + i as u64))
}

fn median<T>(rounds: usize, mut work: impl FnMut() -> T) -> Duration {
    let mut times: Vec<Duration> = (0..rounds.max(1))
        .map(|_| {
            let start = now();
            black_box(work());
            now() - start
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Processor time of this thread.
fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
