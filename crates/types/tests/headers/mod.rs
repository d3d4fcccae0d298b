//! A header for the tests and benchmarks of the crates above: they change the fields that they are about.

use rustorium_types::*;

/// The header of an empty block at height 0, without lanes, in which every number and hash is zero.
pub fn empty_header() -> Header {
    Header {
        version: NEWEST_VERSION,
        chain: ChainId::ZERO,
        shard: ShardId(0),
        epoch: Epoch(0),
        view: View(0),
        height: Height(0),
        parent: BlockDigest::ZERO,
        parent_view: View(0),
        proposer: ValidatorIndex(0),
        time_ms: 0,
        payload_root: Hash::ZERO,
        cursors: BoundedVec::default(),
        transactions: 0,
        declared_work: 0,
        speaks: 0,
        validator_set: Hash::ZERO,
        end: End::GoesOn,
        next_validator_set: Hash::ZERO,
        parameters: Hash::ZERO,
        shard_map: Hash::ZERO,
        result: ResultClaim::default(),
        state: StateClaim::NoneYet,
    }
}
