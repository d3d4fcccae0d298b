//! Backups of a home whose chain is at its genesis, to a folder.

#![allow(clippy::unwrap_used, clippy::panic)]

mod cycle;
mod damage;
mod forged;
mod shards;
mod world;
