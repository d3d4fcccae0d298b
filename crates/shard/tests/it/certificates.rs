//! Views without a final block, while members were away: no certificate is lost (R10, R34).

use crate::chain::context;
use crate::forge;
use crate::net::Net;
use rustorium_shard::port::Input;
use rustorium_types::{BlockDigest, Message, Request, Response, View, VoteKind};

/// Gives views up and sends heartbeats until the first node has more blocks; returns the milliseconds.
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

/// Gives up `views` views without a proposal.
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

/// Returns the bytes of certificates in the answers to a node.
fn served(net: &Net, to: usize) -> u64 {
    let certificates =
        |message: &&Message| matches!(message, Message::Response { response: Response::Certificates(_), .. });
    let answers = net.log.iter().filter(|(_, node, _)| *node == to).map(|(_, _, message)| message);
    answers.filter(certificates).map(|message| message.to_frame().len() as u64).sum()
}

#[test]
fn a_node_that_was_away_for_a_thousand_lost_views_makes_a_quorum() {
    for views in [66, 1000] {
        let mut net = Net::new();
        net.submit(0);
        net.advance(1_000_000);
        net.stop(3);
        lose(&mut net, views);
        let lost = net.nodes[0].core.view;
        let journal: u64 = net.ports(0).journal.iter().map(|record| record.payload.len() as u64 + 37).sum();
        assert!(journal / views < 600, "{} bytes of journal a lost view", journal / views);
        net.power_loss(3, 0);
        net.stop(2);
        net.submit(0);
        net.advance(100_000);
        let took = first_block_ms(&mut net, 10_000);
        assert!(took.is_some(), "no block after {views} lost views: {lost:?}, {:?}", net.nodes[3].core.view);
        let asked = questions(&net, 3);
        let served = served(&net, 3);
        println!(
            "{views} views: {asked} questions, {served} bytes served, {} bytes of journal a view",
            journal / views
        );
        assert!(asked <= 24, "{asked} questions for {views} views");
        assert!(served / views < 400, "{served} bytes for {views} views, of which a certificate has 287");
    }
}

#[test]
fn old_certificates_are_served_from_the_journal() {
    let mut net = Net::new();
    net.submit(0);
    net.advance(1_000_000);
    net.stop(3);
    lose(&mut net, 1000);
    // Nodes that start without room for certificates keep 256 of them.
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

#[test]
fn the_core_learns_of_views_without_any_certificate() {
    let mut net = Net::new();
    // One nullification takes node 3 from view 1 to view 7, as in a chain that lost the others.
    let body = forge::body(&context(&net.genesis, 3), VoteKind::Nullify, 6, BlockDigest::ZERO);
    net.inject(0, 3, Message::Certificate(Box::new(forge::certificate(body, &[0, 1, 2]))));
    net.advance(2_000_000);
    let told: Vec<_> = net.nodes[3]
        .core
        .inputs
        .iter()
        .filter_map(|input| match input {
            Input::HeldByNobody(runs) => Some(runs.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(told, [vec![(View(1), View(5))]], "once, after a quorum has answered");
    let body = forge::body(&context(&net.genesis, 3), VoteKind::Nullify, 3, BlockDigest::ZERO);
    net.inject(0, 3, Message::Certificate(Box::new(forge::certificate(body, &[0, 1, 2]))));
    net.run();
    let last = net.nodes[3].core.inputs.iter().rev().find(|input| matches!(input, Input::HeldByNobody(_)));
    assert_eq!(last, Some(&Input::HeldByNobody(vec![(View(1), View(2)), (View(4), View(5))])));
}
