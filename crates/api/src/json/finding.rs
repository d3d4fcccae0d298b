//! Findings: problems of a node, as its watch reports them.

use super::schema::ToSchema;
use serde::{Deserialize, Serialize};

/// The severity of a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The node works, but not as well as it should.
    Degraded,
    /// The node isn't ready for requests.
    NotReady,
}

/// A problem of a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// Stable name: `disk-stalled`, `store-corrupt`, …
    pub code: String,
    /// The severity.
    pub severity: Severity,
    /// The observation that shows the problem.
    pub evidence: String,
    /// The next step.
    pub advice: String,
    /// Time since which it lasts, Unix ms.
    pub since_ms: u64,
}
