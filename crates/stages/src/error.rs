//! Errors that keep a node, or a part of it, from running.

use thiserror::Error;

/// Error for which a node did not start, or stopped.
#[derive(Debug, Error)]
#[error("{sentence}")]
pub struct NodeError {
    /// Stable code.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub sentence: String,
}

impl NodeError {
    /// Creates an error from its code and sentence.
    pub fn new(code: &'static str, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into() }
    }
}
