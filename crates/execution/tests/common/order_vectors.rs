//! Conformance vectors of the order of a block's lanes.

use super::*;
use serde_json::{Value, json};

/// The file, in `tests/vectors`.
pub const ORDER_VECTORS: &str = "order.json";

/// The file's text.
pub fn order_vectors() -> String {
    let one = |version: u16, view: u64, n: u16| {
        let base = World::with(Parameters::of(Rules::of(version).unwrap())).header;
        let parent_root = Hash(rustorium_crypto::hash(b"parent", &[&view.to_le_bytes()]));
        let (epoch, proposer) = (Epoch(view / 7), ValidatorIndex((view % u64::from(n)) as u16));
        let header = Header { view: View(view), epoch, proposer, ..base };
        let lanes = order(&header, &parent_root, usize::from(n));
        json!({
            "version": version, "epoch": epoch, "view": view, "proposer": proposer, "parent_root": parent_root, "n": n,
            "lanes": lanes,
        })
    };
    let places = [(1, 1), (2, 4), (3, 4), (4, 4), (5, 7), (20, 16), (u64::from(u32::MAX), 31), (77, 128)];
    let cases: Vec<Value> =
        [1, 2].into_iter().flat_map(|version| places.map(|(view, n)| one(version, view, n))).collect();
    let about = "The order in which a block's lanes are executed; under version 2 rule R50 of docs/spec/consensus.md.";
    let how = "Written by `just regenerate-vectors`; a change here is a change of the protocol.";
    format!("{:#}\n", json!({ "about": about, "how": how, "version": 1, "cases": cases }))
}
