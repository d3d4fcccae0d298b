//! Signs of life, and what heartbeats and resends bring.

use crate::chain::v;
use crate::forge;
use crate::net::Net;
use rustorium_shard::port::{Effect, Input};
use rustorium_types::{Message, Request, View, VoteKind};

fn silence(net: &Net, of: usize, silent: bool) -> usize {
    net.saw(0, |input| *input == Input::PeerSilence(v(of), silent))
}

#[test]
fn a_peer_is_silent_after_three_heartbeats_and_back_with_its_next_frame() {
    let mut net = Net::new();
    net.heartbeats();
    net.passes = Box::new(|from, _, _| from != 2);
    for _ in 0..2 {
        net.advance(500_000);
        net.heartbeats();
    }
    net.advance(499_000);
    assert_eq!((silence(&net, 2, true), silence(&net, 1, true)), (0, 0));
    net.heartbeats();
    net.advance(2_000);
    assert_eq!((silence(&net, 2, true), silence(&net, 1, true)), (1, 0));
    net.advance(700_000);
    assert_eq!(silence(&net, 2, true), 1, "told once");
    net.passes = Box::new(|_, _, _| true);
    net.nodes[1].core.proposes = false;
    net.submit(2);
    net.run();
    assert_eq!(silence(&net, 2, false), 0, "a batch is not the core's sign of life");
    net.effects(2, vec![Effect::Heartbeat(View(1))]);
    net.run();
    assert_eq!(silence(&net, 2, false), 1);
}

/// On a machine without a free core a node wakes late, and its peers' messages are still in its own threads.
#[test]
fn a_node_that_was_paused_considers_no_peer_silent() {
    let mut net = Net::new();
    net.heartbeats();
    for _ in 0..5 {
        net.now.us += 5_000_000;
        net.now.wall_ms += 5_000;
        net.run();
        assert_eq!((1..4).map(|peer| silence(&net, peer, true)).sum::<usize>(), 0);
    }
    net.passes = Box::new(|_, _, _| false);
    net.advance(490_000);
    assert_eq!(silence(&net, 2, true), 0, "there was one more heartbeat");
    net.advance(1_100_000);
    assert_eq!((1..4).map(|peer| silence(&net, peer, true)).sum::<usize>(), 3, "it ran, and heard nobody");
}

#[test]
fn one_arrival_per_heartbeat_is_recorded() {
    let mut net = Net::new();
    net.nodes[0].shard.take_arrivals();
    for _ in 0..20 {
        net.advance(100_000);
        net.heartbeats();
    }
    let heard = net.nodes[0].shard.take_arrivals();
    let of_one: Vec<u64> = heard.iter().filter(|(peer, _)| *peer == v(1)).map(|(_, at_us)| *at_us).collect();
    assert!(of_one.windows(2).all(|pair| pair[1] - pair[0] >= 450_000), "{of_one:?}");
    assert!((4..=5).contains(&of_one.len()), "{of_one:?}");
    assert!(net.nodes[0].shard.take_arrivals().is_empty());
}

#[test]
fn a_peer_that_is_behind_is_sent_the_best_finalization() {
    let mut net = Net::new();
    net.passes = Box::new(|_, to, _| to != 3);
    net.submit(1);
    net.run();
    assert_eq!((net.height(0), net.height(3)), (1, 0));
    net.passes = Box::new(|_, _, _| true);
    net.effects(3, vec![Effect::Heartbeat(View(1))]);
    net.advance(1_000_000);
    assert_eq!(net.height(3), 1);
}

/// R19: otherwise a node that missed a view's votes can't tell that the view was notarized.
#[test]
fn a_heartbeat_brings_notarizations_above_the_last_finalization() {
    let mut net = Net::new();
    net.passes = Box::new(|_, to, message| {
        let finalizes = matches!(message, Message::Vote(vote) if vote.vote.body.kind == VoteKind::Finalize);
        to != 3 && !finalizes
    });
    net.submit(1);
    net.run();
    net.nodes[2].core.proposes = false;
    net.nullify();
    assert_eq!((net.height(0), net.nodes[0].core.view), (0, View(3)));
    let notarized = |input: &Input| matches!(input, Input::Certificate(c) if c.kind == VoteKind::Notarize);
    assert_eq!((net.saw(0, notarized), net.saw(3, notarized)), (1, 0));
    // One node's message is enough, because it carries the notarization; its vote alone wouldn't be.
    net.passes = Box::new(|from, _, _| from == 0);
    net.heartbeats();
    assert_eq!(net.saw(3, notarized), 1);
}

/// R18: any frame may be lost with a connection.
#[test]
fn a_resend_contains_the_own_proposal_and_the_own_votes() {
    let mut net = Net::new();
    net.passes = Box::new(|from, _, message| from != 1 || matches!(message, Message::Batch(_)));
    net.submit(1);
    net.run();
    assert_eq!((net.height(0), net.nodes[0].core.statuses(1).len()), (0, 0));
    net.passes = Box::new(|_, _, _| true);
    let told = net.log.len();
    net.effects(1, vec![Effect::ResendVotes(View(1))]);
    net.run();
    let again = |message: &Message| matches!(message, Message::Heartbeat(heartbeat) if heartbeat.votes.len() == 1);
    assert!(net.log[told..].iter().any(|(from, _, message)| *from == 1 && again(message)));
    assert!((0..4).all(|index| net.height(index) == 1));
}

/// R4: otherwise a node that missed the votes of the views between must ask before it can judge the block.
#[test]
fn a_proposal_brings_the_nullifications_of_the_views_that_it_leaves_out() {
    let mut net = Net::new();
    net.nodes[1].core.proposes = false;
    net.passes = Box::new(|_, to, message| to != 0 || matches!(message, Message::Proposal(_) | Message::Batch(_)));
    net.submit(2);
    net.nullify();
    let carried = net.between(2, 0).find_map(|message| match message {
        Message::Proposal(proposal) => Some(&proposal.nullifications),
        _ => None,
    });
    let views: Vec<View> = carried.expect("node 2 leads view 2").iter().map(|c| c.body.view).collect();
    assert_eq!(views, [View(1)]);
    let notarizes = |message: &Message| matches!(message, Message::Vote(vote) if (vote.vote.body.kind, vote.vote.body.view) == (VoteKind::Notarize, View(2)));
    assert_eq!(net.between(0, 1).filter(|message| notarizes(message)).count(), 1);
    assert!(
        !net.between(0, 1)
            .any(|message| matches!(message, Message::Request { request: Request::Certificates { .. }, .. }))
    );
}

#[test]
fn certificates_are_reported_once_however_often_they_arrive() {
    let mut net = Net::new();
    let context = crate::chain::context(&net.genesis, 0);
    let body = forge::body(&context, VoteKind::Nullify, 1, rustorium_types::BlockDigest::ZERO);
    let certificate = forge::certificate(body, &[1, 2, 3]);
    for from in [1, 2, 3, 1] {
        net.inject(from, 0, Message::Certificate(Box::new(certificate.clone())));
        net.run();
    }
    let bad = forge::certificate(rustorium_types::VoteBody { view: View(2), ..body }, &[1, 2]);
    net.inject(1, 0, Message::Certificate(Box::new(bad)));
    net.run();
    assert_eq!(net.saw(0, |input| matches!(input, Input::Certificate(_))), 1);
    assert_eq!(net.nodes[0].core.view, View(2));
}

#[test]
fn f_plus_one_nullifies_are_reported_and_a_vote_under_a_false_name_is_not_counted() {
    let mut net = Net::new();
    let context = crate::chain::context(&net.genesis, 0);
    let body = forge::body(&context, VoteKind::Nullify, 1, rustorium_types::BlockDigest::ZERO);
    let vote = |signer: usize| {
        let vote = crate::chain::validator_key(signer).sign_vote(v(signer), body);
        Message::Vote(Box::new(rustorium_types::VoteMessage {
            vote,
            report: Default::default(),
            held: Default::default(),
            carry: None,
        }))
    };
    let seen = |input: &Input| *input == Input::NullifiesSeen(View(1));
    net.inject(1, 0, vote(1));
    net.inject(1, 0, vote(2));
    net.run();
    assert_eq!(net.saw(0, seen), 0);
    net.inject(2, 0, vote(2));
    net.run();
    assert_eq!(net.saw(0, seen), 1);
}

#[test]
fn another_root_at_a_quorum_is_divergence() {
    let mut net = Net::new();
    net.submit(1);
    net.run();
    let (executed, root) = (rustorium_types::Height(1), rustorium_types::Hash([3; 32]));
    let report = rustorium_types::Report { executed, root, ..Default::default() };
    for (from, told) in [(1, 0), (2, 0), (3, 1), (3, 1)] {
        net.inject(from, 0, Message::Report(report));
        net.run();
        assert_eq!(net.saw(0, |input| matches!(input, Input::Diverged(_))), told);
    }
}
