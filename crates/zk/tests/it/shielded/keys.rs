//! Keys and addresses are derived the same everywhere, have one text each, and reveal nothing.

use proptest::prelude::*;
use rustorium_zk::shielded::keys::{Address, FullViewingKey, IncomingViewingKey, SpendingKey};
use std::collections::BTreeSet;

#[test]
fn a_seed_makes_the_same_keys_everywhere() {
    let key = SpendingKey::derive(&[7; 32], 3);
    assert_eq!(key.address().to_string(), ADDRESS);
    assert!(key == SpendingKey::derive(&[7; 32], 3));
    let others = [SpendingKey::derive(&[7; 32], 4), SpendingKey::derive(&[8; 32], 3)];
    let all: BTreeSet<[u8; 64]> = others.iter().chain([&key]).map(|key| key.address().to_bytes()).collect();
    assert_eq!(all.len(), 3);
}

const ADDRESS: &str =
    "rsz1pndqqerrf7zjafugjfclk6ccgldcq8neqrtn4qusrk2f7423arx3jjjfx6rvf8dgpcxzhgg3sp8xpxjm0enasrla39l5c6qdenkygac5rhua9";

#[test]
fn texts_are_read_back() {
    let key = SpendingKey::derive(&[7; 32], 3);
    let address = key.address();
    assert_eq!(Address::parse(&address.to_string()), Ok(address));
    assert_eq!(Address::parse(&address.to_string().to_ascii_uppercase()), Ok(address));
    let incoming = key.viewing().incoming().reveal().unwrap();
    assert!(IncomingViewingKey::parse(&incoming).unwrap() == *key.viewing().incoming());
    let full = key.viewing().reveal().unwrap();
    assert!(FullViewingKey::parse(&full).unwrap() == *key.viewing());
    // Each text is of one kind.
    assert!(Address::parse(&incoming).is_err());
    assert!(IncomingViewingKey::parse(&full).is_err());
    assert!(FullViewingKey::parse(&incoming).is_err());
    assert!(FullViewingKey::parse(&address.to_string()).is_err());
}

#[test]
fn every_changed_character_is_noticed() {
    let text = SpendingKey::derive(&[7; 32], 3).address().to_string();
    for at in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[at] = if changed[at] == b'q' { b'p' } else { b'q' };
        assert!(Address::parse(&String::from_utf8(changed).unwrap()).is_err(), "at {at}");
    }
    assert!(Address::parse("").is_err());
    assert!(Address::parse(&text[..text.len() - 1]).is_err());
}

#[test]
fn an_address_has_one_encoding() {
    let mut bytes = SpendingKey::derive(&[7; 32], 3).address().to_bytes();
    bytes[..32].fill(0xff);
    assert!(Address::from_bytes(&bytes).is_err(), "no element");
    let mut bytes = SpendingKey::derive(&[7; 32], 3).address().to_bytes();
    bytes[63] |= 0x80;
    assert!(Address::from_bytes(&bytes).is_err(), "a bit that X25519 ignores");
    // 2^255 - 19 and what is above.
    bytes[32..].fill(0xff);
    bytes[63] = 0x7f;
    for low in 0xed..=0xff {
        bytes[32] = low;
        assert!(Address::from_bytes(&bytes).is_err(), "{low}");
    }
    bytes[32] = 0xec;
    assert!(Address::from_bytes(&bytes).is_ok());
}

proptest! {
    #[test]
    fn addresses_come_back(bytes in prop::collection::vec(any::<u8>(), 64)) {
        let bytes: [u8; 64] = bytes.try_into().unwrap();
        if let Ok(address) = Address::from_bytes(&bytes) {
            prop_assert_eq!(address.to_bytes(), bytes);
            prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
        }
    }

    #[test]
    fn texts_of_anything_are_no_keys(text in ".{0,200}") {
        prop_assert!(Address::parse(&text).is_err());
        prop_assert!(IncomingViewingKey::parse(&text).is_err());
        prop_assert!(FullViewingKey::parse(&text).is_err());
    }
}
