//! What verifying costs, the wrapper's decoding included, beside the plain library: `cargo run --release -p rustorium-zk
//! --example zk_bench -- TIMES`. One line of JSON a curve; CPU time of this process, nanoseconds a proof, the least of
//! TIMES repetitions, since others share the machine's caches and cores.

#[path = "../tests/common/mod.rs"]
mod common;

use ark_bls12_381::Bls12_381;
use ark_bn254::Bn254;
use ark_ff::PrimeField;
use ark_groth16::{Groth16, Proof};
use common::{Sample, points, prove, proving_key};
use rustorium_zk::{Claim, Key, Refused, Suite, encode_key, verify_all};

const TOGETHER: u64 = 128;
const INPUTS: usize = 4;

type Failure = Box<dyn std::error::Error>;

/// CPU time that this thread has used, nanoseconds.
fn cpu_ns() -> Result<u64, Failure> {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Ok(u64::try_from(used.tv_sec)? * 1_000_000_000 + u64::try_from(used.tv_nsec)?)
}

fn least_ns(times: u64, mut work: impl FnMut() -> Result<(), Failure>) -> Result<u64, Failure> {
    let mut least = u64::MAX;
    for _ in 0..times {
        let before = cpu_ns()?;
        work()?;
        least = least.min(cpu_ns()? - before);
    }
    Ok(least)
}

fn decoded(key: &Key, samples: &[Sample]) -> Result<Vec<Claim>, Refused> {
    samples.iter().map(|sample| Claim::new(key, &sample.proof, &sample.inputs)).collect()
}

#[expect(clippy::disallowed_methods, reason = "measures the plain library beside the wrapper")]
fn measure<E: Suite>(times: u64) -> Result<(), Failure> {
    let proving = proving_key::<E>(INPUTS, 1);
    let samples: Vec<Sample> = (0..TOGETHER).map(|seed| prove(&proving, seed)).collect();
    let bytes = encode_key(&proving.vk);
    let key = Key::from_bytes(&bytes)?;
    let decode = least_ns(times, || decoded(&key, &samples[..1]).map(drop).map_err(Failure::from))?;
    let single = least_ns(times, || Ok(decoded(&key, &samples[..1])?[0].verify()?))?;
    let batch = least_ns(times.div_ceil(8), || {
        let verdicts = verify_all(&decoded(&key, &samples)?);
        Ok(verdicts.into_iter().collect::<Result<(), _>>()?)
    })?;
    // Nothing but bad ones: each has the inputs of its neighbour.
    let wrong: Vec<Sample> = samples
        .iter()
        .zip(samples.iter().cycle().skip(1))
        .map(|(sample, next)| Sample { inputs: next.inputs.clone(), ..sample.clone() })
        .collect();
    let bad = |samples: &[Sample]| -> Result<(), Failure> {
        let verdicts = verify_all(&decoded(&key, samples)?);
        if verdicts.iter().all(Result::is_ok) { Err("a bad proof was accepted".into()) } else { Ok(()) }
    };
    let all_bad = least_ns(times.div_ceil(16), || bad(&wrong))?;
    let one_bad = [&wrong[..1], &samples[1..]].concat();
    let one_bad = least_ns(times.div_ceil(16), || bad(&one_bad))?;
    let fresh = least_ns(times, || {
        let key = Key::from_bytes(&bytes)?;
        Ok(decoded(&key, &samples[..1])?[0].verify()?)
    })?;
    let (a, b, c) = points::<E>(&samples[0].proof);
    let inputs: Vec<E::ScalarField> =
        samples[0].inputs.iter().map(|bytes| E::ScalarField::from_be_bytes_mod_order(bytes)).collect();
    let (proof, prepared) = (Proof::<E> { a, b, c }, ark_groth16::prepare_verifying_key(&proving.vk));
    let plain = least_ns(times, || {
        let accepted = Groth16::<E>::verify_proof(&prepared, &proof, &inputs)?;
        if accepted { Ok(()) } else { Err("the library refused a good proof".into()) }
    })?;
    println!(
        "{{\"curve\": \"{}\", \"decode_ns\": {decode}, \"single_ns\": {single}, \"batch_ns\": {}, \"one_bad_ns\": {}, \
         \"all_bad_ns\": {}, \"fresh_key_ns\": {fresh}, \"plain_ns\": {plain}}}",
        E::CURVE,
        batch / TOGETHER,
        one_bad / TOGETHER,
        all_bad / TOGETHER,
    );
    Ok(())
}

fn main() -> Result<(), Failure> {
    let times = std::env::args().nth(1).map_or(Ok(100), |times| times.parse())?;
    measure::<Bn254>(times)?;
    measure::<Bls12_381>(times)
}
