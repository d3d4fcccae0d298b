//! Two nodes take transactions of one account: the node whose transaction lost its nonce says so at once.

use crate::chain;
use crate::net::Net;
use rustorium_shard::Event;
use rustorium_types::TxId;

/// A client sends a transaction of account 0 with this nonce to a node.
fn send(net: &mut Net, index: usize, nonce: u64) -> TxId {
    let expires_at_ms = chain::EXPIRES_AT_MS - index as u64;
    let transaction = chain::put_until(&net.genesis, 0, nonce, expires_at_ms);
    let transactions = vec![chain::admitted(&transaction)];
    net.ports(index).events.push_back(Event::Transactions { transactions, from_client: true });
    chain::id_of(&transaction)
}

#[test]
fn of_two_transactions_with_one_nonce_one_is_executed_and_the_other_is_refused_where_it_waits() {
    let mut net = Net::new();
    for nonce in 0..50 {
        let sent: Vec<TxId> = (0..2).map(|index| send(&mut net, index, nonce)).collect();
        net.run();
        for (index, id) in sent.iter().enumerate() {
            let used: Vec<_> = net.ports(index).used.drain(..).filter(|(used, _)| used == id).collect();
            let refused = net.ports(index).refused.drain(..).any(|(refused, _)| refused == *id);
            assert!(net.is_final(index, id) || used.len() == 1 || refused, "nobody is told of {nonce} at {index}");
            assert!(used.iter().all(|(_, why)| why.code() == "nonce-used"));
        }
        assert_eq!(sent.iter().filter(|id| net.is_final(0, id)).count(), 1);
    }
}
