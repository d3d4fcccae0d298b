//! The targets, by room.

mod backup;
mod client_apis;
mod disk;
mod governance;
mod ledger;
mod light;
mod peers;
mod proofs;
mod shielded;
mod signer;
mod state;
mod text;
mod zk;

pub use disk::made;

use crate::Cost::{High, Low, Middle};
use crate::{Cost, Target};
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::{decode, encode};

const fn target(name: &'static str, cost: Cost, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target { name, run, seeds, cost, bytes_max: 64 * 1024 }
}

/// Allows an input this much memory besides the usual allowance.
const fn taking(bytes_max: usize, target: Target) -> Target {
    Target { bytes_max, ..target }
}

const MIB: usize = 1024 * 1024;

/// Every decoder of foreign bytes.
pub const TARGETS: &[Target] = &[
    // Between nodes.
    target("peer_certificate", Low, peers::certificate, peers::certificates),
    target("peer_greeting", Low, peers::greeting, peers::greetings),
    taking(256 * 1024, target("peer_stream", Low, peers::stream, peers::streams)),
    target("peer_consensus_frame", Low, peers::consensus_frame, peers::frames),
    target("peer_data_frame", Low, peers::data_frame, peers::frames),
    target("peer_sync_frame", Low, peers::sync_frame, peers::frames),
    target("peer_final_blocks", Low, peers::final_blocks, peers::final_block_answers),
    // Signed and hashed data.
    target("transaction", Middle, ledger::transaction, ledger::transactions),
    target("transaction_any", Middle, ledger::any_transaction, ledger::any_transactions),
    target("authority", Middle, ledger::authority, ledger::authorities),
    target("account_record", Low, ledger::account_record, ledger::account_records),
    target("custody_record", Low, ledger::custody_record, ledger::custody_records),
    target("sponsor_record", Low, ledger::sponsor_record, ledger::sponsor_records),
    target("governance_record", Low, governance::record, governance::records),
    target("batch", Middle, ledger::batch, ledger::batches),
    target("block", Low, ledger::block, ledger::blocks),
    target("header", Low, ledger::header, ledger::headers),
    target("vote", Middle, ledger::vote, ledger::votes),
    target("certificate", Middle, ledger::certificate, ledger::certificates),
    target("activation", Middle, ledger::activation, ledger::activations),
    target("node_records", Middle, ledger::node_records, ledger::all_node_records),
    target("receipt", Low, ledger::receipt, ledger::receipts),
    target("genesis", Middle, ledger::genesis, ledger::geneses),
    target("genesis_file", Low, ledger::genesis_file, ledger::genesis_files),
    // Data that clients check.
    taking(MIB, target("proof", High, proofs::proof, proofs::proofs)),
    taking(MIB, target("epoch_change", Middle, proofs::epoch_change, proofs::epoch_changes)),
    taking(MIB, target("term_change", Middle, ledger::term_change, ledger::term_changes)),
    target("checkpoint", Low, proofs::checkpoint, proofs::checkpoints),
    target("trust_state", Low, proofs::trust_state, proofs::trust_states),
    taking(MIB, target("light_questions", High, light::questions, light::conversations)),
    // Groth16.
    taking(MIB, target("groth16_key", High, zk::key, zk::keys)),
    taking(MIB, target("groth16_claim", High, zk::claim, zk::claims)),
    taking(MIB, target("snarkjs_key", Middle, zk::key_file, zk::key_files)),
    target("snarkjs_proof", Middle, zk::proof_file, zk::proof_files),
    target("snarkjs_inputs", Low, zk::inputs_file, zk::inputs_files),
    taking(MIB, target("ceremony_file", High, zk::ceremony, zk::ceremonies)),
    taking(MIB, target("proving_key", High, zk::proving_key, zk::proving_keys)),
    taking(MIB, target("ceremony_ptau", Middle, zk::ptau, zk::powers)),
    // Shielded value.
    target("shielded_record", Middle, shielded::record, shielded::records),
    target("shielded_wallet", High, shielded::wallet, shielded::wallets),
    target("shielded_wallet_file", Low, shielded::wallet_file, shielded::wallet_files),
    target("shielded_frontier", High, shielded::frontier, shielded::frontiers),
    target("shielded_text", Middle, shielded::text, shielded::texts),
    // The state and its copies.
    taking(MIB, target("state_proof", High, state::proof, state::proofs)),
    taking(MIB, target("state_chunk", Middle, state::chunk, state::chunks)),
    taking(MIB, target("state_part", Middle, state::part, state::parts)),
    target("snapshot", Middle, state::snapshot, state::snapshots),
    target("state_row", Low, state::row, state::rows),
    // Data on disks.
    taking(MIB, target("key_file", Middle, disk::key_file, disk::key_files)),
    target("journal_segment", Low, disk::journal_segment, disk::journal_segments),
    target("key_versions", Low, disk::key_versions, disk::key_version_files),
    target("manifest_length", Low, disk::manifest_length, disk::manifest_lengths),
    taking(256 * 1024, target("audit_log", Middle, disk::audit_log, disk::audit_logs)),
    target("store_row", Low, disk::store_row, disk::store_rows),
    target("head_row", Low, disk::head_row, disk::head_rows),
    target("index_key", Low, disk::index_key, disk::index_keys),
    // Data at the destination of backups.
    target("backup_object", Middle, backup::object, backup::objects),
    // The decoder takes up to a MiB for a list of bytes before it sees them.
    taking(MIB + 64 * 1024, target("backup_manifest", Low, backup::manifest, backup::manifests)),
    target("backup_head", Low, backup::head, backup::heads),
    // Data that clients send.
    taking(4 * MIB, target("http", Middle, client_apis::http, client_apis::requests)),
    target("client_frame", Low, client_apis::client_frame, client_apis::client_frames),
    target("server_frame", Low, client_apis::server_frame, client_apis::server_frames),
    // Between a node and its signer.
    target("signer_request", Low, signer::request, signer::requests),
    target("signer_reply", Low, signer::reply, signer::replies),
    // Text.
    target("address", Low, text::address, text::addresses),
    target("peer_address", Low, text::peer_address, text::peer_addresses),
    target("delay_matrix", Low, text::delay_matrix, text::delay_matrices),
];

/// Decodes a value; checks that it encodes to the same bytes.
fn canonical<T: BorshDeserialize + BorshSerialize>(bytes: &[u8], limit: usize) -> Option<T> {
    let value = decode(bytes, limit).ok()?;
    assert!(encode(&value) == bytes, "a second encoding of a value");
    Some(value)
}
