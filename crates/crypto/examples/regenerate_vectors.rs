//! Writes the conformance vectors to `tests/vectors`. Run it by `just regenerate-vectors`, and only for a change of the
//! protocol: what it changes, older nodes and clients won't understand.
#![allow(clippy::panic)]

#[path = "../tests/vector_cases/mod.rs"]
mod vector_cases;

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder =
        Path::new(&std::env::var("CARGO_MANIFEST_DIR").map_err(std::io::Error::other)?).join("../../tests/vectors");
    std::fs::create_dir_all(&folder)?;
    for (name, text) in vector_cases::files() {
        let path = folder.join(name);
        let changed = std::fs::read_to_string(&path).ok().as_ref() != Some(&text);
        std::fs::write(&path, text)?;
        println!("{name}: {}", if changed { "changed" } else { "as it was" });
    }
    Ok(())
}
