//! Derives the CRS from its seed and writes the file that the crate decodes: `cargo run --release --example write_crs`.

use rustorium_state::{WIDTH, crs};
use std::path::Path;

fn main() -> std::io::Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/crs.bin");
    std::fs::write(file, crs::encode(&crs::derive(WIDTH)))
}
