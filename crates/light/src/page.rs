//! Calls from JavaScript: it asks for room, writes a question there, and reads the answer at the place that the call
//! returns.
//!
//! *Invariants:* the module has one thread, and no call is in progress while JavaScript runs; the room stays where it
//! is until it is requested again.
#![allow(unsafe_code, reason = "a module exports functions by name and shares its memory; see README.md")]

use crate::session::{QUESTION_BYTES_MAX, Session};
use std::cell::RefCell;

thread_local! {
    static SESSION: RefCell<Session> = RefCell::default();
    static QUESTION: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static ANSWER: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Room for a question of this many bytes; null where that is too many.
// SAFETY: no other symbol of the module has this name.
#[unsafe(no_mangle)]
pub extern "C" fn question(bytes: usize) -> *mut u8 {
    if bytes > QUESTION_BYTES_MAX {
        return std::ptr::null_mut();
    }
    QUESTION.with_borrow_mut(|question| {
        question.clear();
        question.resize(bytes, 0);
        question.as_mut_ptr()
    })
}

/// Answers the question in the room; where the answer is.
// SAFETY: no other symbol of the module has this name.
#[unsafe(no_mangle)]
pub extern "C" fn answer() -> *const u8 {
    let text = QUESTION.with_borrow(|question| SESSION.with_borrow_mut(|session| session.answer(question)));
    ANSWER.with_borrow_mut(|answer| {
        *answer = text;
        answer.as_ptr()
    })
}

/// Bytes of the answer.
// SAFETY: no other symbol of the module has this name.
#[unsafe(no_mangle)]
pub extern "C" fn answer_bytes() -> usize {
    ANSWER.with_borrow(String::len)
}
