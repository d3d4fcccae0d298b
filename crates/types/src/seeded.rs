//! Bugs that are in the code on purpose, for builds whose tests are tested: `tools/seeded_bugs.py` switches them on, one at a
//! time, and looks which test finds it.
//!
//! *Invariants:* without the feature `seeded-bugs` there are none: the answer is `false` when it is compiled, so that neither
//! a check nor a name is in the program. No release has the feature.

/// The environment variable that names the bug.
#[cfg(feature = "seeded-bugs")]
pub const VARIABLE: &str = "SEEDED_BUG";

/// Whether this bug is switched on in this process.
#[cfg(feature = "seeded-bugs")]
pub fn bug(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var(VARIABLE).ok()).as_deref() == Some(name)
}

/// Whether this bug is switched on: there is none.
#[cfg(not(feature = "seeded-bugs"))]
#[inline(always)]
pub const fn bug(_name: &str) -> bool {
    false
}
