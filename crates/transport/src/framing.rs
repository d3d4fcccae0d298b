//! Frames on a stream: a length (u32, little-endian) and that many bytes; and the greeting before the first one.
//!
//! *Invariants:* a length over the limit is refused before anything is allocated for it; memory grows with the bytes
//! received, not with the length announced; no bytes of a peer make it panic.

use crate::refusal::Refusal;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use rustorium_types::limits::FRAME_BYTES_MAX;
use rustorium_types::{ChainId, Class, ShardId, link_version};
use std::fmt;

/// The versions of the peer protocol that this release speaks. A release that adds one keeps the version before it,
/// because a net is upgraded node by node.
pub const SPOKEN: Versions = Versions { newest: link_version::PUSHES, oldest: link_version::FIRST };
/// Bytes of a greeting.
pub const HELLO_BYTES: usize = 39;
/// Bytes of the greeting of another shard's stream.
pub const SHARD_HELLO_BYTES: usize = 9;

const MAGIC: [u8; 4] = *b"RSTM";
const SHARD_MAGIC: [u8; 4] = *b"RSTS";
const LENGTH_BYTES: usize = 4;
/// Frames up to this size are copied behind their length, so that many frames make one write. Larger frames are written
/// without a copy.
const COPIED_BYTES_MAX: usize = 8 * 1024;
/// Bytes allocated when a frame is announced. More is allocated as its bytes arrive.
const RESERVED_BYTES_MAX: usize = 64 * 1024;

pub(crate) const CLASSES: [Class; 3] = [Class::Consensus, Class::Data, Class::Sync];

/// Versions of the peer protocol, from the oldest to the newest. Both sides greet before they know each other, and then
/// speak the newest version that both have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The highest version.
    pub newest: u8,
    /// The lowest version. It is not above the highest, nor more than 255 below it.
    pub oldest: u8,
}

impl Versions {
    /// Encodes the range in two bytes: the newest version, and how many below it are also spoken. A single version has
    /// the same encoding as in releases before ranges existed.
    fn to_wire(self) -> [u8; 2] {
        [self.newest, self.newest.saturating_sub(self.oldest)]
    }

    /// Decodes a range; `None` if it would begin below zero.
    fn from_wire([newest, older]: [u8; 2]) -> Option<Self> {
        newest.checked_sub(older).map(|oldest| Self { newest, oldest })
    }

    /// Returns the newest version that both have.
    pub fn common(self, other: Self) -> Option<u8> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.oldest == self.newest {
            write!(f, "version {}", self.newest)
        } else {
            write!(f, "versions {} to {}", self.oldest, self.newest)
        }
    }
}

/// The greeting that each side sends first on each of the connection's first three streams, which are the root shard's. It
/// names no one: the key has proved who the peer is, and the key's place depends on the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The sender's chain.
    pub chain: ChainId,
    /// Class of the frames on the stream.
    pub class: Class,
    /// The versions that the sender speaks.
    pub versions: Versions,
}

impl Hello {
    /// Encodes the greeting.
    pub fn to_bytes(self) -> [u8; HELLO_BYTES] {
        let mut bytes = [0; HELLO_BYTES];
        let mut out = &mut bytes[..];
        out.put_slice(&MAGIC);
        out.put_slice(&self.versions.to_wire());
        out.put_slice(self.chain.as_bytes());
        out.put_u8(self.class as u8);
        bytes
    }

    /// Parses a greeting and returns it with the version to speak. Errors: the greeting is malformed, shares no version
    /// or is of another chain. The refusal contains the peer's versions or chain.
    pub fn parse(bytes: &[u8; HELLO_BYTES], chain: &ChainId, ours: Versions) -> Result<(Self, u8), Refusal> {
        let mut rest = &bytes[..];
        let mut magic = [0; 4];
        rest.copy_to_slice(&mut magic);
        if magic != MAGIC {
            return Err(Refusal::BadHello("it doesn't start with the protocol's mark"));
        }
        let theirs = Versions::from_wire([rest.get_u8(), rest.get_u8()]);
        let theirs = theirs.ok_or(Refusal::BadHello("its versions make no range"))?;
        let common = theirs.common(ours).ok_or(Refusal::WrongVersion { theirs, ours })?;
        let mut id = [0; 32];
        rest.copy_to_slice(&mut id);
        if id != chain.0 {
            return Err(Refusal::WrongChain { theirs: ChainId(id), ours: *chain });
        }
        let class = CLASSES.get(usize::from(rest.get_u8())).ok_or(Refusal::BadHello("it names no class"))?;
        Ok((Self { chain: *chain, class: *class, versions: theirs }, common))
    }
}

/// The greeting of a stream of another shard than the root (`link_version::SHARDS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardHello {
    /// The shard of the frames on the stream.
    pub shard: ShardId,
    /// The class of these frames.
    pub class: Class,
}

impl ShardHello {
    /// Encodes the greeting.
    pub fn to_bytes(self) -> [u8; SHARD_HELLO_BYTES] {
        let mut bytes = [0; SHARD_HELLO_BYTES];
        let mut out = &mut bytes[..];
        out.put_slice(&SHARD_MAGIC);
        out.put_u8(self.class as u8);
        out.put_u32_le(self.shard.0);
        bytes
    }

    /// Parses a greeting. Errors: it is malformed, or names the root shard, whose streams come first.
    pub fn parse(bytes: &[u8; SHARD_HELLO_BYTES]) -> Result<Self, Refusal> {
        let mut rest = &bytes[..];
        let mut magic = [0; 4];
        rest.copy_to_slice(&mut magic);
        if magic != SHARD_MAGIC {
            return Err(Refusal::BadHello("a further stream doesn't start with the mark of a shard's"));
        }
        let class = CLASSES.get(usize::from(rest.get_u8())).ok_or(Refusal::BadHello("it names no class"))?;
        let shard = ShardId(rest.get_u32_le());
        if shard == ShardId::ROOT {
            return Err(Refusal::BadHello("a further stream names the root shard"));
        }
        Ok(Self { shard, class: *class })
    }
}

/// Collects in `chunks` what to write for `frames`, in order. Small frames share a chunk.
pub(crate) fn gather(frames: &mut Vec<Bytes>, chunks: &mut Vec<Bytes>) {
    let small = frames.iter().map(Bytes::len).filter(|len| *len <= COPIED_BYTES_MAX).sum::<usize>();
    let mut shared = BytesMut::with_capacity(small + frames.len() * LENGTH_BYTES);
    for frame in frames.drain(..) {
        // `Outbox::push` refuses frames longer than FRAME_BYTES_MAX.
        shared.put_u32_le(u32::try_from(frame.len()).unwrap_or(u32::MAX));
        if frame.len() <= COPIED_BYTES_MAX {
            shared.extend_from_slice(&frame);
        } else {
            chunks.push(shared.split().freeze());
            chunks.push(frame);
        }
    }
    if !shared.is_empty() {
        chunks.push(shared.freeze());
    }
}

/// Result of decoding the bytes so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// More bytes are needed; the present ones are used up.
    More,
    /// A frame of this many bytes follows.
    Announced(usize),
    /// A complete frame.
    Complete(Bytes),
}

/// Splits a stream's bytes into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    length: [u8; LENGTH_BYTES],
    length_read: usize,
    announced: Option<usize>,
    body: BytesMut,
}

impl Decoder {
    /// Takes bytes from the front of `chunk` up to the next step. Errors: a frame over the limit.
    pub fn step(&mut self, chunk: &mut Bytes) -> Result<Step, Refusal> {
        let Some(announced) = self.announced else { return self.read_length(chunk) };
        let take = chunk.len().min(announced - self.body.len());
        self.body.extend_from_slice(&chunk[..take]);
        chunk.advance(take);
        if self.body.len() < announced {
            return Ok(Step::More);
        }
        self.announced = None;
        self.length_read = 0;
        Ok(Step::Complete(std::mem::take(&mut self.body).freeze()))
    }

    fn read_length(&mut self, chunk: &mut Bytes) -> Result<Step, Refusal> {
        while self.length_read < LENGTH_BYTES {
            if chunk.is_empty() {
                return Ok(Step::More);
            }
            self.length[self.length_read] = chunk.get_u8();
            self.length_read += 1;
        }
        let announced = u32::from_le_bytes(self.length) as usize;
        if announced > FRAME_BYTES_MAX {
            return Err(Refusal::FrameTooLarge { bytes: announced, limit: FRAME_BYTES_MAX });
        }
        self.body = BytesMut::with_capacity(announced.min(RESERVED_BYTES_MAX));
        self.announced = Some(announced);
        Ok(Step::Announced(announced))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode_all(decoder: &mut Decoder, mut chunk: Bytes) -> Result<Vec<Bytes>, Refusal> {
        let mut out = Vec::new();
        loop {
            match decoder.step(&mut chunk)? {
                Step::More => return Ok(out),
                Step::Announced(_) => {}
                Step::Complete(frame) => out.push(frame),
            }
        }
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(sizes in prop::collection::vec(0usize..20_000, 0..12), cut in 1usize..5_000) {
            let frames: Vec<Bytes> = sizes.iter().enumerate().map(|(i, n)| Bytes::from(vec![i as u8; *n])).collect();
            let mut chunks = Vec::new();
            gather(&mut frames.clone(), &mut chunks);
            let stream = chunks.concat();
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            for piece in stream.chunks(cut) {
                got.extend(decode_all(&mut decoder, Bytes::copy_from_slice(piece)).unwrap());
            }
            prop_assert_eq!(got, frames);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..4_000)) {
            let mut decoder = Decoder::default();
            let _ = decode_all(&mut decoder, Bytes::from(bytes));
            prop_assert!(decoder.body.capacity() <= 2 * RESERVED_BYTES_MAX);
        }

        #[test]
        fn any_greeting_is_read_or_refused(bytes in any::<[u8; HELLO_BYTES]>(), chain in any::<[u8; 32]>()) {
            let _ = Hello::parse(&bytes, &ChainId(chain), SPOKEN);
        }

        #[test]
        fn both_sides_choose_one_version_that_both_have(a in versions(), b in versions()) {
            let chain = ChainId([7; 32]);
            let told = |says: Versions, to: Versions| {
                let bytes = Hello { chain, class: Class::Data, versions: says }.to_bytes();
                Hello::parse(&bytes, &chain, to).map(|(hello, common)| (hello.versions, common))
            };
            let has = |v: Versions, version: u8| (v.oldest..=v.newest).contains(&version);
            match (told(a, b), told(b, a)) {
                (Ok((seen, common)), Ok((_, other))) => {
                    prop_assert_eq!((seen, common), (a, other));
                    prop_assert!(has(a, common) && has(b, common));
                    prop_assert!(common == u8::MAX || !has(a, common + 1) || !has(b, common + 1));
                }
                (Err(refused), Err(other)) => {
                    prop_assert_eq!(refused, Refusal::WrongVersion { theirs: a, ours: b });
                    prop_assert_eq!(other, Refusal::WrongVersion { theirs: b, ours: a });
                    prop_assert!((a.oldest..=a.newest).all(|version| !has(b, version)));
                }
                one => prop_assert!(false, "one side talks and the other doesn't: {:?}", one),
            }
        }
    }

    fn versions() -> impl Strategy<Value = Versions> {
        (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Versions { newest: a.max(b), oldest: a.min(b) })
    }

    #[test]
    fn a_shards_greeting_names_shard_and_class() {
        let hello = ShardHello { shard: ShardId(0x0102_0304), class: Class::Data };
        assert_eq!(hello.to_bytes(), *b"RSTS\x01\x04\x03\x02\x01");
        assert_eq!(ShardHello::parse(&hello.to_bytes()).unwrap(), hello);
        for (at, wrong) in [(0, b'x'), (4, 3)] {
            let mut bytes = hello.to_bytes();
            bytes[at] = wrong;
            assert!(matches!(ShardHello::parse(&bytes), Err(Refusal::BadHello(_))), "{at}");
        }
        let root = ShardHello { shard: ShardId::ROOT, class: Class::Data }.to_bytes();
        assert!(matches!(ShardHello::parse(&root), Err(Refusal::BadHello(_))), "its streams are the first three");
    }

    /// The release before ranges sent and accepted this: version 2 as a little-endian u16, and nothing else.
    #[test]
    fn a_greeting_of_one_version_is_as_it_was_before_ranges() {
        let hello = Hello { chain: ChainId([7; 32]), class: Class::Data, versions: Versions { newest: 2, oldest: 2 } };
        assert_eq!(hello.to_bytes()[4..6], 2u16.to_le_bytes());
        assert_eq!(SPOKEN.common(Versions { newest: 2, oldest: 2 }), Some(2));
    }

    #[test]
    fn a_greeting_names_chain_version_and_class() {
        let chain = ChainId([7; 32]);
        let hello = Hello { chain, class: Class::Sync, versions: SPOKEN };
        assert_eq!(Hello::parse(&hello.to_bytes(), &chain, SPOKEN).unwrap(), (hello, SPOKEN.newest));
        let other = Hello::parse(&hello.to_bytes(), &ChainId([8; 32]), SPOKEN);
        assert_eq!(other, Err(Refusal::WrongChain { theirs: chain, ours: ChainId([8; 32]) }));
        let mut bytes = hello.to_bytes();
        bytes[4..6].copy_from_slice(&[9, 0]);
        let theirs = Versions { newest: 9, oldest: 9 };
        assert_eq!(Hello::parse(&bytes, &chain, SPOKEN), Err(Refusal::WrongVersion { theirs, ours: SPOKEN }));
        for (at, wrong) in [(5, 10), (HELLO_BYTES - 1, 3)] {
            bytes = hello.to_bytes();
            bytes[at] = wrong;
            assert!(matches!(Hello::parse(&bytes, &chain, SPOKEN), Err(Refusal::BadHello(_))), "{at}");
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_bytes() {
        let length = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_le_bytes();
        let refused = decode_all(&mut Decoder::default(), Bytes::copy_from_slice(&length));
        assert_eq!(refused, Err(Refusal::FrameTooLarge { bytes: FRAME_BYTES_MAX + 1, limit: FRAME_BYTES_MAX }));
    }
}
