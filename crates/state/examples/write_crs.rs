//! Derives the CRS from its seed and writes the file that the crate decodes: `cargo run --release --example write_crs`.

use rustorium_state::{WIDTH, crs};
use std::path::Path;

fn main() -> std::io::Result<()> {
    let file = Path::new(&std::env::var("CARGO_MANIFEST_DIR").map_err(std::io::Error::other)?).join("src/crs.bin");
    std::fs::write(file, crs::encode(&crs::derive(WIDTH)))
}
