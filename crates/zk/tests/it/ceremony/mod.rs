//! Ceremonies of a small circuit: the key that comes out, and everything that is refused.

mod bad;
mod good;
mod ptau;
mod secrets;
mod small;
