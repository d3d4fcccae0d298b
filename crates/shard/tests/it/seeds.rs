//! A node that joins after all validators of the genesis are gone, and knows some current members.

use crate::net::{Net, node_key};
use crate::steps::{add, change, epoch, goes_on, net, operate, remove, settle};
use rustorium_storage::Store;
use rustorium_types::*;

const LATE: usize = 8;

/// Epoch 1 has nodes 4 to 7; the four validators of the genesis are gone, and node 8 starts with an empty store.
fn replaced(seeds: &[usize]) -> Net {
    let mut net = net(LATE + 1);
    net.stop(LATE);
    goes_on(&mut net, 4);
    let changes = (4..8).map(add).chain((0..4).map(remove)).collect();
    operate(&mut net, 0, changes);
    assert_eq!((epoch(&net, 4), change(&net, 4, 0).next.len()), (1, 4));
    for index in 0..4 {
        net.stop(index);
    }
    net.config.seeds = seeds.iter().map(|index| node_key(*index)).collect();
    net.wipe(LATE);
    for index in 0..4 {
        net.link_all(index, false);
    }
    net.ports(LATE).may_retire = false;
    for _ in 0..6 {
        settle(&mut net);
    }
    net
}

fn is_level(net: &Net) -> bool {
    epoch(net, LATE) == 1 && net.height(LATE) == net.height(4)
}

#[test]
fn a_new_node_follows_all_epochs_with_the_help_of_seeds() {
    for seeds in [vec![4, 5, 6, 7], vec![6]] {
        let mut net = replaced(&seeds);
        assert!(is_level(&net), "seeds {seeds:?}: {} in epoch {}", net.height(LATE), epoch(&net, LATE));
        // Later the node is admitted, and votes.
        operate(&mut net, 4, vec![add(LATE)]);
        assert_eq!((4..=LATE).map(|index| epoch(&net, index)).collect::<Vec<_>>(), [2; 5]);
        assert_eq!(net.store(LATE).tip().unwrap().height, net.store(4).tip().unwrap().height);
    }
}

#[test]
fn without_seeds_a_new_node_stays_at_the_genesis() {
    assert!(!is_level(&replaced(&[])));
    // An absent seed doesn't help.
    assert!(!is_level(&replaced(&[1])));
}

#[test]
fn a_seed_that_makes_things_up_is_not_believed() {
    let mut net = replaced(&[5]);
    let before = (net.height(LATE), epoch(&net, LATE));
    let certificates: Vec<(usize, usize, Message)> = net.log.clone();
    for (_, _, message) in certificates {
        let forged = match message {
            Message::Response { id, response: Response::FinalBlocks { mut blocks, finalization } } => {
                blocks = BoundedVec::new(blocks.into_vec().into_iter().rev().collect()).unwrap();
                Message::Response { id, response: Response::FinalBlocks { blocks, finalization } }
            }
            other => other,
        };
        // The seed repeats earlier messages, its own and others'.
        net.inject(5, LATE, forged);
    }
    net.run();
    assert_eq!((net.height(LATE), epoch(&net, LATE)), before);
}
