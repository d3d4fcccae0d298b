//! Measures what each operation costs a validator at its worst, beside the work that it declares: `cargo run --release -p
//! rustorium-node --example work_bench -- VERSION FOLDER [CASE…]`. One line of JSON a case, for `just bench-work`.
//!
//! A case is a block of transactions whose senders, keys and old values this process has not read since it opened its
//! store. The figures are those of all the work that one validator does for the block besides the network: decoding and
//! signatures, execution, the store's commit, the state tree. Times are processor times of all threads of the process,
//! medians of several blocks. `signature_ns` tells how fast the machine was meanwhile.

mod cases;
mod chain;
mod second;

use cases::{Case, cases};
use chain::{Chain, Spent};
use rustorium_types::Rules;
use serde_json::{Value, json};
use std::error::Error;
use std::path::Path;

/// The result of a measurement's step.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// Blocks of a case.
const BLOCKS: usize = 5;

fn main() -> Outcome<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [version, folder, named @ ..] = &given[..] else {
        return Err("name a protocol version and a folder".into());
    };
    let rules = Rules::of(version.parse()?).ok_or("this build doesn't know the version")?;
    for case in cases(rules).into_iter().filter(|case| named.is_empty() || named.iter().any(|name| name == case.name)) {
        let here = Path::new(folder).join(case.name);
        std::fs::create_dir_all(&here)?;
        println!("{}", measure(&case, rules, &here, Path::new(folder))?);
        std::fs::remove_dir_all(&here)?;
    }
    Ok(())
}

/// Returns the figures of a case, a transaction each.
fn measure(case: &Case, rules: Rules, folder: &Path, tables: &Path) -> Outcome<Value> {
    let mut chain = Chain::start(case, rules, BLOCKS, folder, tables)?;
    let mut blocks = Vec::new();
    for round in 0..BLOCKS {
        let transactions = chain.sign(case, round)?;
        blocks.push(chain.block(case, transactions)?);
    }
    let of = |field: fn(&Spent) -> u64| {
        let mut values: Vec<u64> = blocks.iter().map(field).collect();
        values.sort_unstable();
        values[BLOCKS / 2]
    };
    let count = case.senders as u64;
    let each = |field: fn(&Spent) -> u64| of(field) / count;
    Ok(json!({
        "case": case.name,
        "version": rules.version(),
        "operations": case.operations,
        "declared_units": each(|spent| spent.work),
        "cpu_ns": each(|spent| spent.all_ns),
        "check_ns": each(|spent| spent.check_ns),
        "execute_ns": each(|spent| spent.execute_ns),
        "commit_ns": each(|spent| spent.commit_ns),
        "tree_ns": each(|spent| spent.tree_ns),
        "written_bytes": each(|spent| spent.written_bytes),
        "memory_bytes": each(|spent| spent.memory_bytes),
        "signature_ns": of(|spent| spent.signature_ns),
    }))
}
