//! The error for a leaf that can't be decoded.

use crate::StateReadError;
use rustorium_types::DecodeError;

pub(crate) fn corrupt(error: DecodeError) -> StateReadError {
    StateReadError(format!("a leaf of the system account is corrupt: {error}"))
}
