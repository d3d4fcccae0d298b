//! Findings: problems of a node, as its watch reports them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How much of a node's work something keeps it from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It serves, but not as well as it should.
    Degraded,
    /// It should be asked nothing.
    NotReady,
}

/// Something that is wrong with a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// Its stable name: `disk-stalled`, `store-corrupt`, …
    pub code: String,
    /// What it keeps the node from.
    pub severity: Severity,
    /// What shows it.
    pub evidence: String,
    /// What to do about it.
    pub advice: String,
    /// Since when, Unix ms.
    pub since_ms: u64,
}
