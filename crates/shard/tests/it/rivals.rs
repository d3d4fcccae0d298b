//! R26: of two processes with one key, the one that has signed nothing yet ends before it signs. The ports' witness
//! asserts that no node contradicts itself.

use crate::net::Net;
use rustorium_shard::EndReason;
use rustorium_shard::port::{Effect, Input};
use rustorium_types::{Message, VoteKind};

const WAIT_US: u64 = 1_000_000;

/// A net whose node 3 has started again and listens.
fn listening() -> Net {
    let mut net = Net::new();
    net.submit(0);
    net.advance(200_000);
    net.listen_for_rivals(WAIT_US);
    net.power_loss(3, 0);
    net.run();
    net
}

fn nullify(net: &mut Net) {
    let view = net.nodes[3].shard.view();
    net.effects(3, vec![Effect::Vote { kind: VoteKind::Nullify, view, digest: None, carry: None }]);
    net.run();
}

fn said_votes(net: &Net, since: usize) -> usize {
    net.log[since..].iter().filter(|(from, _, message)| *from == 3 && matches!(message, Message::Vote(_))).count()
}

#[test]
fn a_new_process_listens_before_it_signs() {
    let mut net = listening();
    let since = net.log.len();
    nullify(&mut net);
    net.advance(WAIT_US - 1000);
    assert_eq!(said_votes(&net, since), 0);
    net.advance(2000);
    assert!(said_votes(&net, since) > 0);
    assert_eq!(net.ports(3).ended, None);
}

#[test]
fn a_new_process_ends_when_a_second_one_has_its_links() {
    let mut net = listening();
    let since = net.log.len();
    nullify(&mut net);
    net.rival_at(3, &[0, 0, 0]);
    assert_eq!(net.ports(3).ended, None, "one peer may lie, as often as it likes");
    net.rival_at(3, &[2]);
    assert_eq!(net.ports(3).ended, Some(EndReason::Rival));
    assert_eq!(said_votes(&net, since), 0);
    assert_eq!(net.saw(3, |input| *input == Input::KeyRetired), 0, "it may start again once the other one has ended");
}

#[test]
fn a_process_that_has_signed_goes_on() {
    let mut net = listening();
    net.advance(WAIT_US + 1000);
    net.rival_at(3, &[0, 1, 2]);
    assert_eq!(net.ports(3).ended, None);
    let since = net.log.len();
    nullify(&mut net);
    net.advance(1000);
    assert!(said_votes(&net, since) > 0);
}
