//! Writes the conformance vectors of proofs, light clients, the order of lanes, work and records to `tests/vectors`. Run it
//! by `just regenerate-vectors`, and only for a change of the protocol: what it changes, older nodes and clients won't
//! understand.
#![allow(clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder =
        Path::new(&std::env::var("CARGO_MANIFEST_DIR").map_err(std::io::Error::other)?).join("../../tests/vectors");
    for (name, text) in [
        (common::PROOF_VECTORS, common::proof_vectors()),
        (common::LIGHT_VECTORS, common::light_vectors()),
        (common::ORDER_VECTORS, common::order_vectors()),
        (common::WORK_VECTORS, common::work_vectors()),
        (common::RECORD_VECTORS, common::record_vectors()),
        (common::QUOTA_VECTORS, common::quota_vectors()),
    ] {
        let path = folder.join(name);
        let changed = std::fs::read_to_string(&path).ok().as_ref() != Some(&text);
        std::fs::write(&path, text)?;
        println!("{name}: {}", if changed { "changed" } else { "as it was" });
    }
    Ok(())
}
