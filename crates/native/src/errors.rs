//! The exception for Python, with a stable code, and the only place where the interpreter is released.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

pyo3::create_exception!(
    rustorium._native,
    NativeError,
    PyException,
    "What the Rust side refuses: one sentence, and `code`, a stable name."
);

/// Creates a `NativeError`.
pub fn native_error(code: &str, sentence: impl Into<String>) -> PyErr {
    let (code, sentence) = (code.to_owned(), sentence.into());
    Python::attach(|py| {
        let error = NativeError::new_err(sentence);
        // Setting an attribute on our new exception fails only without memory. The sentence is more important.
        let _ = error.value(py).setattr("code", code);
        error
    })
}

/// Runs `work` without the interpreter's lock. A panic in it becomes an error instead of an abort.
pub fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    py.detach(|| catch_unwind(AssertUnwindSafe(work))).map_err(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        native_error(
            "internal",
            format!("an internal check failed ({}); report it with the node's log", said.unwrap_or("no message")),
        )
    })
}
