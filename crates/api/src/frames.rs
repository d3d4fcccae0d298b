//! The frames of the QUIC API: a u32 (little-endian) length, then the canonical bytes of a `ClientFrame` or `ServerFrame`.
//!
//! The client opens the connection's one stream and says `Hello`; the server answers with its own and the credit:
//! transactions that may be outstanding. Each `Submit` uses one credit per transaction; each transaction gets exactly one
//! result (alone, or in a `Busy` run), and `Credit` gives back what the results before it have used.

use crate::answers::{Submitted, Wait};
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::limits::{SUBMISSION_BYTES_MAX, SUBMISSION_TRANSACTIONS_MAX};
use rustorium_types::{BoundedBytes, BoundedVec, ChainId, Receipt, ReceiptProof, Transaction, TxId, encode_into};

/// The protocol version of these frames.
pub const FACE_VERSION: u16 = 1;
/// Maximum bytes of a client's frame.
pub const CLIENT_FRAME_BYTES_MAX: usize = SUBMISSION_BYTES_MAX + 64;
/// Maximum bytes of a server's frame.
pub const SERVER_FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Maximum results in one frame.
pub const RESULTS_MAX: usize = 65_536;
/// Size of the length prefix of a frame.
pub const LENGTH_BYTES: usize = 4;
/// Size of a token: `rsk_`, an id of 16 bytes, `_`, a secret of 43 bytes.
pub const TOKEN_BYTES: usize = 64;

/// Stage of a transaction that a submission waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum WireWait {
    /// Until the pool holds it.
    Accepted = 0,
    /// Until it is final and executed.
    Final = 1,
    /// Until it is certified.
    Certified = 2,
}

impl From<WireWait> for Wait {
    fn from(wait: WireWait) -> Self {
        match wait {
            WireWait::Accepted => Self::Accepted,
            WireWait::Final => Self::Final,
            WireWait::Certified => Self::Certified,
        }
    }
}

/// Frame from a client.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum ClientFrame {
    /// First frame.
    Hello {
        /// `FACE_VERSION`.
        version: u16,
    },
    /// Transactions, in order.
    Submit {
        /// The client's number for this frame; results name it.
        number: u64,
        /// Stage to wait for.
        wait: WireWait,
        /// The transactions.
        transactions: BoundedVec<Transaction, SUBMISSION_TRANSACTIONS_MAX>,
    },
    /// First frame instead of `Hello`, if the node requires a token.
    HelloWithToken {
        /// `FACE_VERSION`.
        version: u16,
        /// The token's text.
        token: BoundedBytes<TOKEN_BYTES>,
    },
}

/// Outcome of one transaction.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum WireOutcome {
    /// The pool holds it.
    Accepted(TxId),
    /// The transaction is final and executed.
    Final(Receipt),
    /// The receipt is certified. The proof is left out if the client is far behind with reading; HTTP has it.
    Certified {
        /// The receipt.
        receipt: Receipt,
        /// Proof of the receipt.
        proof: Option<Box<ReceiptProof>>,
    },
    /// The transaction was not taken.
    Refused {
        /// The transaction, where its id is known.
        id: Option<TxId>,
        /// Stable name of the reason: UTF-8.
        code: BoundedBytes<64>,
        /// One sentence: UTF-8.
        message: BoundedBytes<512>,
        /// Time to wait before trying again, if that may help.
        retry_after_ms: Option<u64>,
    },
    /// The transaction was taken, and its outcome was not seen in time.
    TimedOut(TxId),
}

/// One result.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct ResultItem {
    /// The `Submit` frame's number.
    pub number: u64,
    /// The transaction's position in it.
    pub index: u32,
    /// The outcome.
    pub outcome: WireOutcome,
}

/// Frame from a server.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum ServerFrame {
    /// First.
    Hello {
        /// `FACE_VERSION`.
        version: u16,
        /// The chain served.
        chain: ChainId,
        /// Transactions that may be outstanding.
        credit: u32,
    },
    /// Results that became ready together.
    Results(BoundedVec<ResultItem, RESULTS_MAX>),
    /// A range of transactions that were not taken because the node is busy.
    Busy {
        /// The `Submit` frame's number.
        number: u64,
        /// Position of the first one.
        first: u32,
        /// Number of transactions.
        count: u32,
        /// Time to wait before trying again.
        retry_after_ms: u32,
    },
    /// This many more transactions may be outstanding.
    Credit(u32),
}

/// Tag of `ServerFrame::Results`, which the server writes piece by piece.
pub const RESULTS_TAG: u8 = 1;
const SUBMIT_TAG: u8 = 1;

/// Head of a `Submit` frame, before its transactions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubmitHead {
    /// The frame's number.
    pub number: u64,
    /// Transactions that follow.
    pub count: u32,
}

/// Size of the head: tag, number, wait, count.
const SUBMIT_HEAD_BYTES: usize = 1 + 8 + 1 + 4;

impl SubmitHead {
    /// Reads the head without decoding the transactions; `None` for other frames.
    pub fn peek(frame: &[u8]) -> Option<Self> {
        let head: &[u8; SUBMIT_HEAD_BYTES] = frame.first_chunk()?;
        let (tag, rest) = head.split_first()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (_, rest) = rest.split_first()?;
        let count = u32::from_le_bytes(rest.try_into().ok()?);
        let known = *tag == SUBMIT_TAG && count as usize <= SUBMISSION_TRANSACTIONS_MAX;
        known.then(|| Self { number: u64::from_le_bytes(*number), count })
    }
}

/// Appends a framed value to `out`.
pub fn write_frame<T: BorshSerialize>(frame: &T, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    encode_into(frame, out);
    write_length(out, start);
}

/// Sets the length of the frame that starts at `start` and ends with `out`. Frames are far below 4 GiB.
pub fn write_length(out: &mut [u8], start: usize) {
    let length = u32::try_from(out.len() - start - LENGTH_BYTES).unwrap_or(u32::MAX);
    out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
}

/// Appends a `Submit` frame of encoded transactions.
pub fn write_submit<'a>(number: u64, wait: WireWait, encoded: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    out.push(SUBMIT_TAG);
    out.extend_from_slice(&number.to_le_bytes());
    out.push(wait as u8);
    let count_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut count = 0u32;
    for transaction in encoded {
        out.extend_from_slice(transaction);
        count += 1;
    }
    out[count_at..count_at + 4].copy_from_slice(&count.to_le_bytes());
    write_length(out, start);
}

fn bounded<const MAX: usize>(text: &str) -> BoundedBytes<MAX> {
    let mut end = text.len().min(MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    BoundedBytes::new(text.as_bytes()[..end].to_vec()).unwrap_or_default()
}

impl WireOutcome {
    /// The outcome of a submission; without a proof where `lean`.
    pub fn new(submitted: Submitted, lean: bool) -> Self {
        match submitted {
            Submitted::Accepted(id) => Self::Accepted(id),
            Submitted::Final(_, receipt) => Self::Final(receipt),
            Submitted::Certified(_, proof) => {
                Self::Certified { receipt: proof.receipt.clone(), proof: (!lean).then_some(proof) }
            }
            Submitted::Refused(refused) => Self::Refused {
                id: refused.id,
                code: bounded(refused.code),
                message: bounded(&refused.message),
                retry_after_ms: refused.retry_after_ms,
            },
            Submitted::TimedOut(id) => Self::TimedOut(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustorium_types::{Hash, Height, Outcome, decode, encode};

    fn receipt() -> Receipt {
        Receipt {
            transaction: TxId(Hash([1; 32]).0),
            sender: rustorium_types::AccountId([2; 32]),
            nonce: 3,
            height: Height(4),
            index: 5,
            time_ms: 6,
            work: 7,
            outcome: Outcome::Ok,
        }
    }

    #[test]
    fn the_hand_written_parts_equal_the_codec() {
        let frame = ClientFrame::Submit { number: 7, wait: WireWait::Final, transactions: BoundedVec::default() };
        let mut by_hand = Vec::new();
        write_submit(7, WireWait::Final, std::iter::empty(), &mut by_hand);
        assert_eq!(by_hand[LENGTH_BYTES..], encode(&frame));
        assert_eq!(SubmitHead::peek(&by_hand[LENGTH_BYTES..]), Some(SubmitHead { number: 7, count: 0 }));
        let results = ServerFrame::Results(BoundedVec::default());
        assert_eq!(encode(&results)[0], RESULTS_TAG);
        assert_eq!(SubmitHead::peek(&encode(&ClientFrame::Hello { version: 1 })), None);
    }

    #[test]
    fn every_frame_comes_back() {
        let refused = WireOutcome::Refused {
            id: None,
            code: bounded("nonce-used"),
            message: bounded(&"é".repeat(400)),
            retry_after_ms: Some(3),
        };
        let items = [WireOutcome::Final(receipt()), WireOutcome::TimedOut(TxId::ZERO), refused];
        let items = items.into_iter().map(|outcome| ResultItem { number: 1, index: 2, outcome });
        let frame = ServerFrame::Results(BoundedVec::new(items.collect()).unwrap());
        assert_eq!(decode::<ServerFrame>(&encode(&frame), SERVER_FRAME_BYTES_MAX).unwrap(), frame);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = SubmitHead::peek(&bytes);
            for tag in 0..4u8 {
                let tagged = [&[tag], bytes.as_slice()].concat();
                if let Ok(frame) = decode::<ClientFrame>(&tagged, CLIENT_FRAME_BYTES_MAX) {
                    prop_assert_eq!(encode(&frame), tagged.clone());
                }
                if let Ok(frame) = decode::<ServerFrame>(&tagged, SERVER_FRAME_BYTES_MAX) {
                    prop_assert_eq!(encode(&frame), tagged);
                }
            }
        }
    }
}
