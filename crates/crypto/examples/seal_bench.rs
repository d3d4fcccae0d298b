//! Measures what sealing and opening a row costs: `cargo run --release -p rustorium-crypto --example seal_bench`.

use rustorium_crypto::seal::{AtRest, FreshSalt, HEAD_BYTES, HashUse, MasterKey, Place, SealError};
use rustorium_types::ChainId;
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Each figure is the median of so many rounds.
const ROUNDS: usize = 9;

fn main() -> Result<(), Box<dyn Error>> {
    let keys = AtRest::new(Arc::new(MasterKey::from_secret(&[7; 32])?), ChainId::ZERO);
    let fresh = FreshSalt::draw()?;
    let opener = keys.row_opener();
    opener.add(1, fresh.salt());
    let sealer = keys.row_sealer(fresh, 1)?;
    let place = Place { table: 3, format: 1, key: &[9; 64] };
    for bytes in [8usize, 64, 300, 4096, 65_536, 1 << 20] {
        let times = (64 << 20) / (bytes + 512);
        let mut row = Vec::with_capacity(HEAD_BYTES + bytes + 64);
        let sealing = median(times, || {
            row.clear();
            row.resize(HEAD_BYTES + bytes, 5);
            sealer.seal(&place, black_box(&mut row), 0)
        })?;
        let opening = median(times, || opener.open(&place, black_box(&row)))?;
        println!("{bytes:>8} bytes: seal {sealing:>9} ns, open {opening:>9} ns, the row's copy included");
    }
    let names = keys.keyed(HashUse::Names)?;
    println!(
        "keyed hash of 32 bytes: {} ns",
        median(200_000, || Ok::<_, SealError>(names.of(1, &[black_box(&[3; 32])])))?
    );
    println!("a new subkey: {} ns", median(1_000, || FreshSalt::draw().and_then(|fresh| keys.row_sealer(fresh, 2)))?);
    Ok(())
}

/// Nanoseconds of one call.
fn median<T, E: Error + 'static>(times: usize, mut call: impl FnMut() -> Result<T, E>) -> Result<u128, Box<dyn Error>> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..times {
            black_box(call()?);
        }
        rounds.push(start.elapsed());
    }
    rounds.sort_unstable();
    let middle: Duration = rounds[ROUNDS / 2];
    Ok(middle.as_nanos() / times as u128)
}
