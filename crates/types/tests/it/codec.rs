//! Each value has one encoding, and no bytes do harm.

use crate::strategies;
use proptest::prelude::*;
use proptest::sample::Index;
use rustorium_types::limits::FRAME_BYTES_MAX;
use rustorium_types::*;
use std::fmt::Debug;

trait Travels: borsh::BorshSerialize + borsh::BorshDeserialize + PartialEq + Debug {}
impl<T: borsh::BorshSerialize + borsh::BorshDeserialize + PartialEq + Debug> Travels for T {}

/// Checks that bytes which decode are encoded to the same bytes again.
fn canonical<T: Travels>(bytes: &[u8]) -> Result<bool, TestCaseError> {
    match decode::<T>(bytes, FRAME_BYTES_MAX) {
        Ok(value) => {
            prop_assert_eq!(encode(&value), bytes);
            Ok(true)
        }
        Err(error) => {
            prop_assert!(!error.to_string().is_empty());
            Ok(false)
        }
    }
}

/// A value's bytes decode to the value; cut, lengthened or changed bytes never do.
fn survives<T: Travels>(value: &T, at: Index, change: u8, bit: u8) -> Result<(), TestCaseError> {
    let bytes = encode(value);
    prop_assert_eq!(&decode::<T>(&bytes, FRAME_BYTES_MAX).unwrap(), value);
    prop_assert!(decode::<T>(&bytes, bytes.len() - 1).is_err(), "the limit holds");
    let at = at.index(bytes.len());
    prop_assert!(!canonical::<T>(&bytes[..at])?, "cut at {}", at);
    prop_assert!(!canonical::<T>(&[&bytes[..], &[change]].concat())?, "a byte more");
    let mut changed = bytes.clone();
    changed[at] ^= 1 << bit;
    prop_assert!(decode::<T>(&changed, FRAME_BYTES_MAX).as_ref() != Ok(value));
    canonical::<T>(&changed)?;
    changed[at] = change;
    canonical::<T>(&changed)?;
    let spliced = [&bytes[..at], &[change, 255, 255], &bytes[at..]].concat();
    canonical::<T>(&spliced)?;
    Ok(())
}

macro_rules! survives {
    ($($name:ident: $strategy:expr;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(128))]
            $(
                #[test]
                fn $name(value in $strategy, at: Index, change: u8, bit in 0u8..8) {
                    survives(&value, at, change, bit)?;
                }
            )*
        }
    };
}

survives! {
    operations: strategies::operation();
    transactions: strategies::transaction();
    batches: strategies::batch();
    headers: strategies::header();
    blocks: strategies::block();
    votes: strategies::vote();
    certificates: strategies::certificate();
    proposals: strategies::proposal();
    receipts: strategies::receipt();
    receipt_proofs: strategies::receipt_proof();
    proofs: strategies::proof();
    geneses: strategies::genesis();
    activations: strategies::activation();
    authorities: strategies::authority();
    operations_of_version_2: strategies::operation2();
    transactions_of_version_2: strategies::transaction2();
    transactions_of_any_version: strategies::any_transaction();
    transitions: strategies::transition();
    messages: strategies::message();
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        canonical::<Transaction>(&bytes)?;
        canonical::<Batch>(&bytes)?;
        canonical::<Block>(&bytes)?;
        canonical::<Certificate>(&bytes)?;
        canonical::<ReceiptProof>(&bytes)?;
        canonical::<Genesis>(&bytes)?;
        canonical::<Authority>(&bytes)?;
        for head in [&[1, 0][..], &[2, 0], &[2, 0, 0, 1, 1, 0], &[2, 0, 0, 8, 8, 0], &[3, 0]] {
            canonical::<Transaction>(&[head, &bytes].concat())?;
        }
        for tag in 0..5 {
            canonical::<Proof>(&[&[tag][..], &bytes].concat())?;
        }
        for tag in 0..12 {
            canonical::<Message>(&[&[tag][..], &bytes].concat())?;
        }
    }

    #[test]
    fn frames_travel_on_their_own_class_alone(message in strategies::message()) {
        let frame = message.to_frame();
        for class in [Class::Consensus, Class::Data, Class::Sync] {
            let decoded = Message::from_frame(class, &frame);
            if class == message.class() {
                prop_assert_eq!(decoded.as_ref(), Ok(&message));
            } else {
                prop_assert!(matches!(decoded, Err(DecodeError::Malformed(_))));
            }
        }
    }
}

/// The layout written out by hand: little-endian integers, u32 lengths, one-byte tags.
#[test]
fn the_layout_is_borsh() {
    let put = Operation::Put {
        namespace: AccountId([3; 32]),
        key: BoundedBytes::new(b"ab".to_vec()).unwrap(),
        value: BoundedBytes::new(vec![9; 3]).unwrap(),
    };
    let transfer = Operation::Transfer { to: AccountId([4; 32]), asset: AssetId([5; 32]), amount: 0x0102 };
    let body = TransactionBody {
        version: 1,
        chain: ChainId([1; 32]),
        sender: AccountId([2; 32]),
        public_key: [6; 32],
        nonce: 7,
        expires_at_ms: 0x0807_0605_0403_0201,
        work_limit: 0,
        shard_hint: Some(ShardId(258)),
        location: Some(GeoLocation { latitude_e7: -2, longitude_e7: 3 }),
        data: BoundedVec::new(vec![put, transfer]).unwrap(),
    };
    let mut expected = vec![1, 0];
    expected.extend([1; 32]);
    expected.extend([2; 32]);
    expected.extend([6; 32]);
    expected.extend([7, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([1, 2, 3, 4, 5, 6, 7, 8]);
    expected.extend([0; 8]);
    expected.extend([1, 2, 1, 0, 0]);
    expected.extend([1, 254, 255, 255, 255, 3, 0, 0, 0]);
    expected.extend([2, 0, 0, 0]);
    expected.push(1);
    expected.extend([3; 32]);
    expected.extend([2, 0, 0, 0, b'a', b'b', 3, 0, 0, 0, 9, 9, 9]);
    expected.push(4);
    expected.extend([4; 32]);
    expected.extend([5; 32]);
    expected.extend([2, 1]);
    expected.extend([0; 14]);
    expected.extend([8; 64]);
    assert_eq!(encode(&Transaction::V1(Transaction1 { body, signature: [8; 64] })), expected);
}

fn sample<S: Strategy>(strategy: S) -> S::Value {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    proptest::strategy::ValueTree::current(&strategy.new_tree(&mut runner).unwrap())
}

/// A leader of version 1 may list a transaction of any chain beside the lanes, so that its first bytes are those of the
/// form of version 2. A block of version 1 reads it as what it is.
#[test]
fn a_block_tells_the_form_of_what_stands_beside_its_lanes() {
    let mut chain = [7; 32];
    chain[..4].copy_from_slice(&[0, 1, 1, 0]);
    let mut listed = sample(strategies::transaction());
    (listed.body.version, listed.body.chain) = (2, ChainId(chain));
    let listed = Transaction::V1(listed);
    assert_ne!(decode(&encode(&listed), 1 << 20), Ok(listed.clone()), "by itself it can't be told");
    let header = sample(strategies::header());
    let block = |version| Block {
        header: Header { version, ..header.clone() },
        inline: BoundedVec::new(vec![listed.clone()]).unwrap(),
    };
    assert_eq!(decode(&encode(&block(1)), 1 << 20), Ok(block(1)));
    assert_ne!(decode(&encode(&block(2)), 1 << 20), Ok(block(2)));
}

#[test]
fn every_limit_is_met_and_not_exceeded() {
    fn bytes_of<const MAX: usize>() {
        let at_limit = BoundedBytes::<MAX>::new(vec![7; MAX]).unwrap();
        assert_eq!(decode::<BoundedBytes<MAX>>(&encode(&at_limit), MAX + 4).unwrap(), at_limit);
        let over = encode(&vec![7u8; MAX + 1]);
        assert!(matches!(decode::<BoundedBytes<MAX>>(&over, MAX + 5), Err(DecodeError::Malformed(_))));
        let error = BoundedBytes::<MAX>::new(vec![7; MAX + 1]).unwrap_err();
        assert_eq!(error, DecodeError::TooLarge { got: MAX + 1, limit: MAX });
    }
    bytes_of::<0>();
    bytes_of::<{ limits::SYMBOL_BYTES_MAX }>();
    bytes_of::<{ limits::KEY_BYTES_MAX }>();
    bytes_of::<{ limits::VALUE_BYTES_MAX }>();
    let operations = [Operation::Require(Condition::Absent { namespace: AccountId::default(), key: Key::default() })];
    let many = |count: usize| operations.iter().cycle().take(count).cloned().collect::<Vec<_>>();
    type Data = BoundedVec<Operation, { limits::OPERATIONS_MAX }>;
    let at_limit = Data::new(many(limits::OPERATIONS_MAX)).unwrap();
    assert_eq!(decode::<Data>(&encode(&at_limit), FRAME_BYTES_MAX).unwrap(), at_limit);
    assert!(decode::<Data>(&encode(&many(limits::OPERATIONS_MAX + 1)), FRAME_BYTES_MAX).is_err());
    assert!(Data::new(many(limits::OPERATIONS_MAX + 1)).is_err());
}
