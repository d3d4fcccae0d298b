//! Views without a final block, and who was away meanwhile: no certificate is lost (R10, R34).

use crate::net::Net;
use rustorium_types::{Message, Request};

/// Goes on, giving views up and beating, until the first node has more blocks. The milliseconds that it took.
fn first_block_ms(net: &mut Net, bound_ms: u64) -> Option<u64> {
    let before = net.height(0);
    (0..bound_ms / 250).find_map(|round| {
        net.advance(250_000);
        net.heartbeats();
        if round % 2 == 1 {
            net.nullify();
        }
        (net.height(0) > before).then_some((round + 1) * 250)
    })
}

/// So many views are given up without a proposal.
fn lose(net: &mut Net, views: u64) {
    net.nodes.iter_mut().for_each(|node| node.core.proposes = false);
    for _ in 0..views {
        net.nullify();
    }
    net.nodes.iter_mut().for_each(|node| node.core.proposes = true);
}

fn questions(net: &Net, from: usize) -> usize {
    let asks = |message: &Message| matches!(message, Message::Request { request: Request::Certificates { .. }, .. });
    net.log.iter().filter(|(node, _, message)| *node == from && asks(message)).count()
}

#[test]
fn who_was_away_for_a_thousand_lost_views_makes_a_quorum() {
    for views in [66, 1000] {
        let mut net = Net::new();
        net.submit(0);
        net.advance(1_000_000);
        net.stop(3);
        lose(&mut net, views);
        let lost = net.nodes[0].core.view;
        net.power_loss(3, 0);
        net.stop(2);
        net.submit(0);
        net.advance(100_000);
        let took = first_block_ms(&mut net, 10_000);
        assert!(took.is_some(), "no block after {views} lost views: {lost:?}, {:?}", net.nodes[3].core.view);
        let asked = questions(&net, 3);
        assert!(asked <= 24, "{asked} questions for {views} views");
    }
}

#[test]
fn old_certificates_are_served_from_the_journal() {
    let mut net = Net::new();
    net.submit(0);
    net.advance(1_000_000);
    net.stop(3);
    lose(&mut net, 1000);
    // Who starts with no room for certificates keeps 256 of them.
    net.config.certificates_bytes_max = 0;
    for node in [0, 1, 2] {
        net.power_loss(node, 0);
    }
    net.advance(2_000_000);
    let lost = net.nodes[0].core.view;
    net.power_loss(3, 0);
    net.advance(2_000_000);
    // A heartbeat's certificate tells it how far the others are.
    net.heartbeats();
    net.advance(5_000_000);
    assert_eq!(net.nodes[3].core.view, lost);
    net.stop(2);
    net.submit(0);
    net.advance(100_000);
    assert!(first_block_ms(&mut net, 10_000).is_some(), "no block in view {:?}", net.nodes[3].core.view);
}
