//! Data from another node: its certificate, the greeting, the division of a stream into frames, and the frames of each
//! class.

use super::canonical;
use crate::corpus::of_type;
use bytes::Bytes;
use rustls_pki_types::CertificateDer;
use rustorium_crypto::{SigningKey, block_digest};
use rustorium_sync::check_final_blocks;
use rustorium_transport::framing::{Decoder, HELLO_BYTES, Hello, SHARD_HELLO_BYTES, SPOKEN, ShardHello, Step};
use rustorium_transport::tls;
use rustorium_types::limits::FRAME_BYTES_MAX;
use rustorium_types::{BlockDigest, ChainId, Class, Message, Response, ShardId, encode};

const CHAIN: ChainId = ChainId([7; 32]);

/// DER before an Ed25519 key.
const KEY_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A key that can be read is in the certificate, as an Ed25519 key.
pub fn certificate(input: &[u8]) {
    if let Some(key) = tls::ed25519_key(&CertificateDer::from(input)) {
        let stands = [&KEY_PREFIX[..], &key].concat();
        assert!(input.windows(stands.len()).any(|part| part == stands), "a key that the certificate doesn't have");
    }
}

/// The stored certificates have another kind of key, and another program made them.
pub fn certificates() -> Vec<Vec<u8>> {
    let identity = SigningKey::from_seed(&[7; 32]);
    let made = tls::certificate(&identity).unwrap();
    assert_eq!(tls::ed25519_key(&made), Some(identity.public()));
    vec![made.to_vec()]
}

pub fn greeting(input: &[u8]) {
    if let Ok(bytes) = <&[u8; SHARD_HELLO_BYTES]>::try_from(input)
        && let Ok(hello) = ShardHello::parse(bytes)
    {
        assert_eq!(hello.to_bytes(), *bytes);
        assert_ne!(hello.shard, ShardId::ROOT);
    }
    let Ok(bytes) = <&[u8; HELLO_BYTES]>::try_from(input) else { return };
    if let Ok((hello, version)) = Hello::parse(bytes, &CHAIN, SPOKEN) {
        assert_eq!(hello.to_bytes(), *bytes);
        assert!((SPOKEN.oldest..=SPOKEN.newest).contains(&version));
    }
}

pub fn greetings() -> Vec<Vec<u8>> {
    let classes = [Class::Consensus, Class::Data, Class::Sync];
    let first = classes.map(|class| Hello { chain: CHAIN, class, versions: SPOKEN }.to_bytes().to_vec());
    let further = classes.map(|class| ShardHello { shard: ShardId(7), class }.to_bytes().to_vec());
    [first, further].concat()
}

/// The first byte says how the rest is cut into chunks.
pub fn stream(input: &[u8]) {
    let Some((cut, stream)) = input.split_first() else { return };
    let mut decoder = Decoder::default();
    let (mut again, mut announced) = (Vec::new(), None);
    for chunk in stream.chunks(usize::from(*cut).max(1)) {
        let mut chunk = Bytes::copy_from_slice(chunk);
        loop {
            match decoder.step(&mut chunk) {
                Err(_) => return assert!(stream.starts_with(&again)),
                Ok(Step::More) => break,
                Ok(Step::Announced(bytes)) => announced = Some(bytes),
                Ok(Step::Complete(frame)) => {
                    assert_eq!(announced.take(), Some(frame.len()));
                    again.extend_from_slice(&(frame.len() as u32).to_le_bytes());
                    again.extend_from_slice(&frame);
                }
            }
        }
        assert!(chunk.is_empty());
    }
    assert!(stream.starts_with(&again), "the frames are not the stream's bytes");
}

pub fn streams() -> Vec<Vec<u8>> {
    let framed = |bytes: &Vec<u8>| [&(bytes.len() as u32).to_le_bytes(), bytes.as_slice()].concat();
    let all: Vec<u8> = frames().iter().flat_map(framed).collect();
    let too_long = ((FRAME_BYTES_MAX + 1) as u32).to_le_bytes().to_vec();
    [1, 3, 255].map(|cut| [vec![cut], all.clone()].concat()).into_iter().chain([[vec![9], too_long].concat()]).collect()
}

fn frame(class: Class, input: &[u8]) -> Option<Message> {
    let message = Message::from_frame(class, input).ok()?;
    assert_eq!(message.class(), class);
    assert!(message.to_frame() == input, "a second encoding of a message");
    Some(message)
}

pub fn consensus_frame(input: &[u8]) {
    frame(Class::Consensus, input);
}

pub fn data_frame(input: &[u8]) {
    frame(Class::Data, input);
}

pub fn sync_frame(input: &[u8]) {
    frame(Class::Sync, input);
}

pub fn frames() -> Vec<Vec<u8>> {
    of_type("message")
}

/// An answer about final blocks, checked as a requester does: without the committee's keys nothing is ever final.
pub fn final_blocks(input: &[u8]) {
    let Some(Response::FinalBlocks { blocks, finalization: Some(finalization) }) =
        canonical::<Response>(input, FRAME_BYTES_MAX)
    else {
        return;
    };
    let from = blocks.first().map_or(BlockDigest::ZERO, |block| block.header.parent);
    assert!(check_final_blocks(&blocks, &finalization, &from, &[[9; 32]; 4], &[[8; 32]; 4]).is_err());
    if let Some(last) = blocks.last() {
        assert_eq!(block_digest(&last.header), block_digest(&last.header.clone()));
    }
}

pub fn final_block_answers() -> Vec<Vec<u8>> {
    let messages = frames().into_iter().filter_map(|bytes| canonical::<Message>(&bytes, FRAME_BYTES_MAX));
    let answers = messages.filter_map(|message| match message {
        Message::Response { response, .. } => Some(encode(&response)),
        _ => None,
    });
    answers.collect()
}
