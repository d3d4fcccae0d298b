//! Refuses transactions of another chain or protocol version and, where one shard is asked, of another shard. The node
//! judges everything else.

use crate::backend::Backend;
use rustorium_api::{Refused, Submitted};
use rustorium_crypto::Addressed;
use rustorium_types::limits::TRANSACTION_BYTES_MAX;
use rustorium_types::{DecodeError, Transaction, decode};

/// Decodes one transaction's canonical bytes.
pub(crate) fn decode_transaction(bytes: &[u8]) -> Result<Transaction, Refused> {
    decode(bytes, TRANSACTION_BYTES_MAX).map_err(|error| match error {
        DecodeError::TooLarge { .. } => {
            Refused::new("transaction-too-large", format!("{error}; split it into several."))
        }
        other => Refused::new("malformed-transaction", format!("{other}; send the canonical bytes.")),
    })
}

/// Items of one submission: those for the node, and those that were refused here.
pub(crate) struct ScreenedItems {
    /// Items for the node.
    pub good: Vec<Addressed>,
    /// Position in the submission of each of `good`; `None` if nothing was refused.
    pub places: Option<Vec<usize>>,
    /// Position and refusal of the other items.
    pub refused: Vec<(usize, Refused)>,
}

/// The senders whose transactions are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Senders {
    /// Those of the backend's shard: a path names one shard.
    OfItsShard,
    /// All: a session is with the process, which passes each transaction to the sender's shard.
    OfAllShards,
}

/// Splits decoded items.
pub(crate) fn screen(
    backend: &dyn Backend,
    senders: Senders,
    items: impl ExactSizeIterator<Item = Result<Transaction, Refused>>,
) -> ScreenedItems {
    let chain = backend.chain();
    let charter = chain.genesis.charter(chain.shard);
    let own = |transaction: Addressed| match transaction.sender() {
        sender if senders == Senders::OfAllShards || charter.serves(sender) => Ok(transaction),
        sender => Err(Refused::new("elsewhere", chain.elsewhere(sender).to_string())),
    };
    let (mut good, mut places, mut refused) = (Vec::with_capacity(items.len()), Vec::new(), Vec::new());
    for (place, item) in items.enumerate() {
        let checked = item.and_then(|transaction| Addressed::check(&chain.id, transaction).map_err(Refused::from));
        match checked.and_then(own) {
            Ok(transaction) => {
                good.push(transaction);
                places.push(place);
            }
            Err(why) => refused.push((place, why)),
        }
    }
    ScreenedItems { good, places: (!refused.is_empty()).then_some(places), refused }
}

/// Puts the node's answers and the refusals back into the submission's order.
pub(crate) fn merge(
    answers: Vec<Submitted>,
    places: Option<Vec<usize>>,
    refused: Vec<(usize, Refused)>,
) -> Vec<Submitted> {
    let Some(places) = places else { return answers };
    let mut all: Vec<(usize, Submitted)> = places.into_iter().zip(answers).collect();
    all.extend(refused.into_iter().map(|(place, why)| (place, Submitted::Refused(why))));
    all.sort_unstable_by_key(|(place, _)| *place);
    all.into_iter().map(|(_, answer)| answer).collect()
}
