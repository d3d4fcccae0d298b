//! Why a node, or a part of it, doesn't go on.

use thiserror::Error;

/// Why a node did not start, or stopped.
#[derive(Debug, Error)]
#[error("{sentence}")]
pub struct NodeError {
    /// Stable name.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub sentence: String,
}

impl NodeError {
    /// An error with its code.
    pub fn new(code: &'static str, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into() }
    }
}
