//! A genesis of four validators and some funded accounts.

#[allow(dead_code, reason = "tests of other crates use the rest")]
#[path = "../../../execution/tests/common/chain.rs"]
mod made;

use rustorium_types::{Genesis, Parameters};

pub fn genesis() -> Genesis {
    genesis_with(Parameters::default())
}

pub fn genesis_with(parameters: Parameters) -> Genesis {
    made::genesis_of(24, 1_000_000, parameters)
}
