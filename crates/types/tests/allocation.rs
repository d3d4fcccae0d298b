//! A length greater than the input allocates next to nothing. A test process of its own, because the test reads the
//! process's peak of memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

use rustorium_types::limits::GENESIS_BYTES_MAX;
use rustorium_types::*;

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn refused<T: borsh::BorshDeserialize>(bytes: &[u8]) {
    assert!(decode::<T>(bytes, GENESIS_BYTES_MAX).is_err());
}

/// Decodes bytes of which a few are valid, such as a report of zeroes.
fn tried<T: borsh::BorshDeserialize>(bytes: &[u8]) {
    _ = decode::<T>(bytes, GENESIS_BYTES_MAX);
}

#[test]
fn announced_lengths_allocate_next_to_nothing() {
    // Version, kind and authority of a transaction of version 2.
    let second = [&[2, 0, 0, 1, 1, 0][..], &[1; 32]].concat();
    let before_kib = peak_kib();
    let lengths = [u32::MAX, u32::MAX / 2, 100_000, 65_536, 4096, 1000, 256];
    for length in lengths {
        let length = length.to_le_bytes();
        for zeroes in [0, 1, 64, 300] {
            // A length after any number of fields, and again inside the announced list.
            for at in 0..200 {
                let bytes = [&vec![0; at][..], &length, &vec![0; zeroes], &length].concat();
                tried::<Transaction>(&bytes);
                tried::<Batch>(&bytes);
                tried::<Authority>(&bytes);
                tried::<Transaction>(&[&second[..], &bytes].concat());
                tried::<Genesis>(&bytes);
                tried::<ReceiptProof>(&bytes);
                for tag in 0..10 {
                    let frame = [&[tag][..], &bytes].concat();
                    tried::<Message>(&frame);
                    tried::<Proof>(&frame);
                }
            }
        }
        refused::<BoundedBytes<{ limits::VALUE_BYTES_MAX }>>(&length);
        refused::<BoundedVec<GenesisAccount, { limits::GENESIS_ACCOUNTS_MAX }>>(&length);
        refused::<BoundedVec<Hash, { limits::GENESIS_ACCOUNTS_MAX }>>(&length);
    }
    let grown_kib = peak_kib() - before_kib;
    assert!(grown_kib < 16 * 1024, "{grown_kib} KiB for inputs of a few hundred bytes");
}
