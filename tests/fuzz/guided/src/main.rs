//! libFuzzer around one target: FUZZ_TARGET names it, the arguments are libFuzzer's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rustorium_fuzz::{BYTES_PER_BYTE_MAX, Target, corpus, memory, target};
use std::sync::LazyLock;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names the target");
    let target = target(&name).expect("FUZZ_TARGET is one of the targets");
    // Memory that is allocated once and kept isn't charged to an input.
    (target.run)(&corpus::all(target)[0]);
    target
});

fuzz_target!(|input: &[u8]| {
    let target = *TARGET;
    let bytes = memory::peak(|| (target.run)(input));
    assert!(bytes <= target.bytes_max + BYTES_PER_BYTE_MAX * input.len(), "{bytes} bytes allocated at once");
});
