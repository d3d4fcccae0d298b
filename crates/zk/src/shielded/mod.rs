//! Shielded value: its hash, notes and circuits.
