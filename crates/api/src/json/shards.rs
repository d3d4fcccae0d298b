//! The shards of a net, as the genesis divides the accounts.

use super::AtView;
use super::schema::ToSchema;
use rustorium_types::{AccountId, Genesis, ShardId};
use serde::Serialize;

/// The shards of the net.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ShardsAnswer {
    /// The shards, by their numbers. They follow from the genesis, so a client that has it can check them.
    pub shards: Vec<ShardView>,
    /// The node's newest state.
    pub at: AtView,
}

/// A shard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ShardView {
    /// Its number.
    #[schema(value_type = u32)]
    pub shard: ShardId,
    /// The lowest account id that it has.
    #[schema(value_type = String)]
    pub from: AccountId,
    /// The account id above its highest; null if it has all from `from` on.
    #[schema(value_type = Option<String>)]
    pub to: Option<AccountId>,
    /// Names of the first committee's members, in the order of their indexes.
    pub members: Vec<String>,
    /// True if this node hosts it.
    pub hosted: bool,
}

impl ShardsAnswer {
    /// The answer of a node that hosts these shards.
    pub fn new(genesis: &Genesis, hosted: &[ShardId], at: AtView) -> Self {
        let view = |shard| {
            let (charter, committee) = (genesis.charter(shard), genesis.committee(shard));
            let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let members = committee.iter().map(|member| name(member.name.as_slice())).collect();
            ShardView { shard, from: charter.from, to: charter.to, members, hosted: hosted.contains(&shard) }
        };
        Self { shards: genesis.shard_ids().map(view).collect(), at }
    }
}
