//! Writes the conformance vectors of proofs to `tests/vectors`. Run it by `just regenerate-vectors`, and only for a change of
//! the protocol: what it changes, older nodes and clients won't understand.
#![allow(clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::Path;

fn main() -> std::io::Result<()> {
    let path = Path::new(&std::env::var("CARGO_MANIFEST_DIR").map_err(std::io::Error::other)?)
        .join("../../tests/vectors")
        .join(common::PROOF_VECTORS);
    let text = common::proof_vectors();
    let changed = std::fs::read_to_string(&path).ok().as_ref() != Some(&text);
    std::fs::write(&path, text)?;
    println!("{}: {}", common::PROOF_VECTORS, if changed { "changed" } else { "as it was" });
    Ok(())
}
