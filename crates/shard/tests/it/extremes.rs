//! Extreme numbers in all messages of a member: no sum or product of them may stop a node, because the wheel checks
//! overflows (docs/adr/0040-overflow-checks.md).

use crate::chain::{N, v, validator_key};
use crate::net::Net;
use rustorium_crypto::block_digest;
use rustorium_types::*;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Numbers at which sums overflow.
const ENDS: [u64; 2] = [u64::MAX, u64::MAX - 1];
/// Maximum bytes of a changed frame.
const SAMPLE_BYTES_MAX: usize = 700;
/// Number of messages for one net; then a new one begins, because a member that lies too often is ignored.
const NET_HEARS: usize = 40;
const TARGET: usize = 0;

/// A chain of some heights with a node that had to catch up.
fn started() -> Net {
    let mut net = Net::new();
    net.traitor(TARGET);
    for round in 0..4 {
        net.submit(round % N);
        net.advance(50_000);
    }
    net.heartbeats();
    net
}

/// Returns the kind of a message, and of the request or answer in it.
fn kind(message: &Message) -> String {
    let text = format!("{message:?}");
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    match message {
        Message::Request { .. } | Message::Response { .. } => words[..words.len().min(5)].join(" "),
        _ => words[0].to_owned(),
    }
    .replace(|c: char| c.is_ascii_digit(), "")
}

/// The shortest frame of each kind that nodes sent each other.
fn samples() -> Vec<(Class, Vec<u8>)> {
    let mut net = started();
    net.stop(3);
    for round in 0..6 {
        net.submit(round % 3);
        net.advance(400_000);
    }
    net.reopen(3);
    net.advance(2_000_000);
    net.heartbeats();
    let mut kinds: BTreeMap<String, BTreeSet<(usize, Vec<u8>)>> = BTreeMap::new();
    for (_, _, message) in &net.log {
        let frame = message.to_frame();
        if frame.len() <= SAMPLE_BYTES_MAX {
            kinds.entry(kind(message)).or_default().insert((frame.len(), frame));
        }
    }
    assert!(kinds.len() >= 10, "{:?}", kinds.keys());
    let shortest = kinds.into_values().filter_map(|frames| frames.into_iter().next());
    shortest.map(|(_, frame)| (decode::<Message>(&frame, limits::FRAME_BYTES_MAX).unwrap().class(), frame)).collect()
}

/// Returns the message, signed again by the member that it names.
fn signed(message: Message) -> Message {
    let key = |member: ValidatorIndex| validator_key(usize::from(member.0) % N);
    match message {
        Message::Proposal(mut proposal) => {
            let Header { proposer, view, chain, shard, epoch, .. } = proposal.header;
            let body =
                VoteBody { chain, shard, epoch, view, kind: VoteKind::Notarize, block: block_digest(&proposal.header) };
            proposal.signature = key(proposer).sign_vote(proposer, body).signature;
            Message::Proposal(proposal)
        }
        Message::Vote(mut said) => {
            said.vote = key(said.vote.signer).sign_vote(said.vote.signer, said.vote.body);
            Message::Vote(said)
        }
        Message::Heartbeat(mut beat) => {
            let votes = beat.votes.iter().map(|vote| key(vote.signer).sign_vote(vote.signer, vote.body)).collect();
            beat.votes = BoundedVec::new(votes).unwrap();
            Message::Heartbeat(beat)
        }
        Message::Batch(batch) => Message::Batch(Box::new(key(batch.body.author).sign_batch(batch.body.clone()).1)),
        other => other,
    }
}

/// Returns the message's sender: its author, or the last member.
fn sender(message: &Message) -> usize {
    let author = match message {
        Message::Proposal(proposal) => proposal.header.proposer,
        Message::Vote(said) => said.vote.signer,
        Message::Batch(batch) => batch.body.author,
        _ => v(N - 1),
    };
    Some(usize::from(author.0)).filter(|author| *author != TARGET && *author < N).unwrap_or(N - 1)
}

/// Returns all messages that a frame becomes with one extreme number.
fn changed((class, frame): &(Class, Vec<u8>)) -> Vec<Message> {
    let mut found = Vec::new();
    for at in 0..frame.len().saturating_sub(8) {
        for end in ENDS {
            let mut bytes = frame.clone();
            bytes[at..at + 8].copy_from_slice(&end.to_le_bytes());
            found.extend(Message::from_frame(*class, &bytes).ok().map(signed));
        }
    }
    found
}

#[test]
fn no_number_that_a_member_sends_stops_a_node() {
    let messages: Vec<Message> = samples().iter().flat_map(changed).collect();
    assert!(messages.len() > 1_000, "{} messages are too few to say anything", messages.len());
    println!("{} messages", messages.len());
    for some in messages.chunks(NET_HEARS) {
        let mut net = started();
        for message in some {
            let (said, from) = (message.clone(), sender(message));
            let heard = catch_unwind(AssertUnwindSafe(|| {
                net.inject(from, TARGET, said);
                net.run();
            }));
            assert!(heard.is_ok(), "this stops a node: {message:?}");
        }
        net.heartbeats();
        net.advance(700_000);
    }
}
