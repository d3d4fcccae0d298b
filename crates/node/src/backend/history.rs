//! A key's versions, each with the transaction that wrote it.
//!
//! *Invariants:* a page opens a bounded number of bytes, each batch once; a transaction that is named wrote this value to this key
//! at this height.

use super::listing::OPENED_BYTES_MAX;
use rustorium_api::{At, History, KeyHistory, KeyVersion};
use rustorium_crypto::id_on;
use rustorium_execution::data_key;
use rustorium_storage::{Store, StoreError, StoredBlock, Version, VersionLimits};
use rustorium_types::{AccountId, Height, Key, Operation, Operation2, Outcome, Transaction, TxId, encode};

/// Bytes of one receipt.
const RECEIPT_BYTES: usize = 160;

/// Reads a page of a key's versions.
pub fn history(store: &dyn Store, asked: &History) -> Result<KeyHistory, StoreError> {
    let at = store.tip().map_or(At::default(), |tip| At { height: tip.height, root: tip.result_root });
    let oldest = store.kept().oldest_height;
    let newest = match asked.before {
        // Nothing is below the first height.
        Some(Height(0)) => return Ok(KeyHistory { versions: Vec::new(), next: None, kept_from: oldest, at }),
        Some(before) => Height(before.0 - 1).min(at.height),
        None => at.height,
    };
    let limits = VersionLimits { versions_max: asked.limit, bytes_max: asked.bytes_max };
    let stored = store.versions(&data_key(asked.namespace, asked.key.as_slice()), newest, limits)?;
    let (mut versions, mut more, mut left) = (Vec::new(), stored.more, OPENED_BYTES_MAX);
    for version in stored.found {
        let written = if version.height > stored.oldest { written(store, asked, &version, &mut left)? } else { None };
        if left == 0 && !versions.is_empty() {
            // This version is the first of the next page, which may open as many bytes again.
            more = true;
            break;
        }
        versions.push(KeyVersion {
            height: version.height,
            time_ms: written.map(|(time_ms, _)| time_ms),
            transaction: written.and_then(|(_, id)| id),
            value: version.leaf.map(|leaf| leaf.value),
        });
    }
    let next = versions.last().filter(|_| more).map(|last| last.height);
    Ok(KeyHistory { versions, next, kept_from: stored.oldest, at })
}

/// Returns the time of a version's block and the transaction that wrote it; `None` if the block was pruned meanwhile. Takes
/// the opened bytes from `left`, and ends the search if none are left.
fn written(
    store: &dyn Store,
    asked: &History,
    version: &Version,
    left: &mut usize,
) -> Result<Option<(u64, Option<TxId>)>, StoreError> {
    let StoredBlock { block, batches, receipts, .. } = match store.block(version.height) {
        Ok(Some(block)) => block,
        Ok(None) | Err(StoreError::Pruned { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    *left = left.saturating_sub(encode(&block).len() + receipts.len() * RECEIPT_BYTES);
    let value = version.leaf.as_ref().map(|leaf| &leaf.value[..]);
    let is_good = |id: &TxId| receipts.iter().any(|one| one.transaction == *id && one.outcome == Outcome::Ok);
    let writer = |transactions: &[Transaction]| {
        let wrote = transactions.iter().rev().filter(|one| last_write(one, asked) == Some(value));
        wrote.map(|one| id_on(&block.header.chain, one)).find(is_good)
    };
    let mut found = writer(block.inline.as_slice());
    for (_, digest) in batches.iter().rev() {
        if found.is_some() || *left == 0 {
            break;
        }
        if let Some(batch) = store.batch(digest)? {
            *left = left.saturating_sub(encode(&batch).len());
            found = writer(batch.body.transactions.as_slice());
        }
    }
    Ok(Some((block.header.time_ms, found)))
}

/// Returns what the transaction leaves under the key: `None` if it doesn't write it, `Some(None)` if it removes it.
fn last_write<'a>(transaction: &'a Transaction, asked: &History) -> Option<Option<&'a [u8]>> {
    let is_it = |namespace: &AccountId, key: &Key| (namespace, key) == (&asked.namespace, &asked.key);
    match transaction {
        Transaction::V1(first) => first.body.data.iter().rev().find_map(|operation| match operation {
            Operation::Put { namespace, key, value } if is_it(namespace, key) => Some(Some(value.as_slice())),
            Operation::Delete { namespace, key } if is_it(namespace, key) => Some(None),
            _ => None,
        }),
        Transaction::V2(second) => second.body().data.iter().rev().find_map(|operation| {
            let its_own = &second.body().sender;
            match operation {
                Operation2::Put { namespace, key, value } if is_it(namespace.as_ref().unwrap_or(its_own), key) => {
                    Some(Some(value.as_slice()))
                }
                Operation2::Delete { namespace, key } if is_it(namespace.as_ref().unwrap_or(its_own), key) => {
                    Some(None)
                }
                _ => None,
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::backend::tests::chain::{account, genesis, id_of, sign};
    use rustorium_storage::{HeightCommit, HistoryStore, MemStore};
    use rustorium_types::*;

    const GRANTEE: usize = 1;

    fn key(name: &[u8]) -> Key {
        BoundedBytes::new(name.to_vec()).unwrap()
    }

    /// A transaction of account `sender` that sets or removes keys of account 0.
    fn writing(sender: usize, nonce: u64, writes: &[(&[u8], Option<&[u8]>)]) -> Transaction {
        let operation = |(name, value): &(&[u8], Option<&[u8]>)| match value {
            Some(value) => {
                let value = BoundedBytes::new(value.to_vec()).unwrap();
                Operation::Put { namespace: account(0), key: key(name), value }
            }
            None => Operation::Delete { namespace: account(0), key: key(name) },
        };
        sign(&genesis(), sender, nonce, writes.iter().map(operation).collect()).into_inner()
    }

    /// Commits a block of these transactions, after which the key `k` of account 0 holds `value`.
    fn commit(store: &MemStore, transactions: &[(Transaction, Outcome)], value: Option<Option<&[u8]>>) {
        let tip = store.tip();
        let mut header = rustorium_execution::genesis(&genesis(), ShardId::ROOT).header;
        header.height = tip.as_ref().map_or(Height(0), |tip| tip.height.next());
        header.parent = tip.map(|tip| tip.digest).unwrap_or_default();
        header.time_ms = 1_000 + header.height.0;
        let receipt = |(index, (transaction, outcome)): (usize, &(Transaction, Outcome))| Receipt {
            transaction: id_of(transaction),
            sender: *transaction.sender(),
            nonce: transaction.nonce(),
            height: header.height,
            index: index as u32,
            time_ms: header.time_ms,
            work: 1,
            outcome: *outcome,
        };
        let write = |value: Option<&[u8]>| LeafWrite {
            key: data_key(account(0), b"k"),
            name: b"\x02k".to_vec(),
            value: value.map(Vec::from),
        };
        let inline: Vec<Transaction> = transactions.iter().map(|(transaction, _)| transaction.clone()).collect();
        let commit = HeightCommit {
            digest: rustorium_crypto::block_digest(&header),
            result_root: Hash([header.height.0 as u8; 32]),
            inline_ids: inline.iter().map(id_of).collect(),
            receipts: transactions.iter().enumerate().map(receipt).collect(),
            block: Block { header, inline: BoundedVec::new(inline).unwrap() },
            batches: Vec::new(),
            diff: value.map(write).into_iter().collect(),
            link: ResultLink::default(),
            finalization: None,
        };
        store.commit(&commit).unwrap();
    }

    fn asked(before: Option<u64>, limit: usize) -> History {
        History { namespace: account(0), key: key(b"k"), before: before.map(Height), limit, bytes_max: 1 << 20 }
    }

    fn version(height: u64, value: Option<&[u8]>, by: &Transaction) -> KeyVersion {
        let (value, transaction) = (value.map(Vec::from), Some(id_of(by)));
        KeyVersion { height: Height(height), time_ms: Some(1_000 + height), value, transaction }
    }

    #[test]
    fn each_version_names_the_transaction_that_left_its_value() {
        let store = MemStore::new();
        let failed = Outcome::Failed { code: FailureCode::Precondition, operation: 0 };
        commit(&store, &[], None);
        let first = writing(0, 0, &[(b"other", Some(b"one")), (b"k", Some(b"zero")), (b"k", Some(b"one"))]);
        let no_use = writing(0, 1, &[(b"k", Some(b"one"))]);
        commit(&store, &[(first.clone(), Outcome::Ok), (no_use, failed)], Some(Some(b"one")));
        commit(&store, &[(writing(0, 2, &[(b"other", None)]), Outcome::Ok)], None);
        let own = writing(0, 3, &[(b"k", Some(b"two"))]);
        let granted = writing(GRANTEE, 0, &[(b"k", Some(b"three"))]);
        let after = writing(0, 4, &[(b"other", Some(b"four"))]);
        let all = [own, granted.clone(), after].map(|one| (one, Outcome::Ok));
        commit(&store, &all, Some(Some(b"three")));
        let removed = writing(0, 5, &[(b"k", None)]);
        commit(&store, &[(removed.clone(), Outcome::Ok)], Some(None));
        let all = [version(4, None, &removed), version(3, Some(b"three"), &granted), version(1, Some(b"one"), &first)];
        let found = history(&store, &asked(None, 10)).unwrap();
        assert_eq!(
            (&found.versions[..], found.next, found.kept_from, found.at.height),
            (&all[..], None, Height(0), Height(4))
        );
        let page = history(&store, &asked(None, 2)).unwrap();
        assert_eq!((&page.versions[..], page.next), (&all[..2], Some(Height(3))));
        let page = history(&store, &asked(Some(3), 2)).unwrap();
        assert_eq!((&page.versions[..], page.next), (&all[2..], None));
        assert_eq!(history(&store, &asked(Some(0), 2)).unwrap().versions, []);
        // A newer height than there is asks for the newest.
        assert_eq!(history(&store, &asked(Some(u64::MAX), 10)).unwrap(), found);
    }

    #[test]
    fn what_was_written_before_the_oldest_height_has_no_transaction() {
        let store = MemStore::new();
        commit(&store, &[], None);
        for nonce in 0..6 {
            let put = writing(0, nonce, &[(b"k", Some(&[nonce as u8]))]);
            commit(&store, &[(put, Outcome::Ok)], Some(Some(&[nonce as u8])));
        }
        store.prune(Height(4)).unwrap();
        let found = history(&store, &asked(None, 10)).unwrap();
        let told: Vec<_> =
            found.versions.iter().map(|v| (v.height.0, v.transaction.is_some(), v.time_ms.is_some())).collect();
        assert_eq!(told, [(6, true, true), (5, true, true), (4, false, false)]);
        assert_eq!((found.kept_from, found.next), (Height(4), None));
        let below = history(&store, &asked(Some(4), 10));
        assert_eq!(below, Err(StoreError::Pruned { height: Height(3), oldest: Height(4) }));
    }

    #[test]
    fn a_page_opens_so_many_bytes_and_goes_on_in_the_next() {
        let store = MemStore::new();
        commit(&store, &[], None);
        // The writer of each block is the last one to be looked at, behind values that fill a page.
        let large = vec![7; 64 * 1024];
        let many = (OPENED_BYTES_MAX / large.len()) as u64 + 1;
        for height in 0..3 {
            let writer = writing(GRANTEE, height, &[(b"k", Some(&[height as u8]))]);
            let noise = (0..many).map(|n| (writing(0, height * many + n, &[(b"other", Some(&large))]), Outcome::Ok));
            let block: Vec<_> = [(writer, Outcome::Ok)].into_iter().chain(noise).collect();
            commit(&store, &block, Some(Some(&[height as u8])));
        }
        let (mut before, mut heights) = (None, Vec::new());
        loop {
            let page = history(&store, &asked(before, 10)).unwrap();
            assert!(page.versions.len() <= 1 || page.next.is_none());
            heights.extend(page.versions.iter().map(|v| (v.height.0, v.transaction.is_some())));
            let Some(next) = page.next else { break };
            before = Some(next.0);
        }
        assert_eq!(heights, [(3, true), (2, true), (1, true)]);
    }
}
