//! Addresses: one text per account, and a typing error never leads to another account.

use bech32::primitives::iter::{ByteIterExt, Fe32IterExt};
use bech32::{Bech32, Bech32m, Fe32, Hrp};
use proptest::prelude::*;
use rustorium_types::AccountId;

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

proptest! {
    #[test]
    fn addresses_come_back_and_one_or_two_wrong_characters_are_noticed(
        id: [u8; 32], first in 3usize..61, second in 3usize..61, a in 0usize..32, b in 0usize..32,
    ) {
        let text = AccountId(id).to_string();
        prop_assert!(text.starts_with("rs1") && text.len() == 61);
        prop_assert_eq!(AccountId::parse(&text), Ok(AccountId(id)));
        prop_assert_eq!(AccountId::parse(&text.to_uppercase()), Ok(AccountId(id)), "QR codes use capitals");
        let mut wrong = text.clone().into_bytes();
        wrong[first] = ALPHABET[a];
        wrong[second] = ALPHABET[b];
        let wrong = String::from_utf8(wrong).unwrap();
        prop_assert_eq!(AccountId::parse(&wrong).is_ok(), wrong == text);
        let mixed = format!("{}{}", &text[..30], text[30..].to_uppercase());
        prop_assert_eq!(AccountId::parse(&mixed).is_ok(), mixed == text);
    }

    #[test]
    fn any_text_is_an_answer(text in ".{0,80}", tail in "[02-9ac-hj-np-z]{0,80}") {
        _ = AccountId::parse(&text);
        let bad = format!("rs1{tail}");
        prop_assert!(AccountId::parse(&bad).is_err());
    }
}

#[test]
fn other_prefixes_checksums_and_lengths_are_refused() {
    let refused = |text: &str| AccountId::parse(text).unwrap_err().to_string();
    let hrp = Hrp::parse("rs").unwrap();
    assert!(AccountId::parse(&bech32::encode::<Bech32m>(hrp, &[7; 32]).unwrap()).is_ok());
    assert!(refused(&bech32::encode::<Bech32>(hrp, &[7; 32]).unwrap()).contains("checksum"));
    assert!(refused(&bech32::encode::<Bech32m>(Hrp::parse("bc").unwrap(), &[7; 32]).unwrap()).contains("rs1"));
    for bytes in [0, 1, 20, 31, 33, 40] {
        assert!(refused(&bech32::encode::<Bech32m>(hrp, &vec![7; bytes]).unwrap()).contains("32 bytes"));
    }
    for text in ["", "rs1", "rs", "1", "rs1qqqq", " ", "0x00"] {
        refused(text);
    }
}

#[test]
fn filled_up_bits_must_be_zero() {
    // 52 characters hold 260 bits, four more than the address: any other padding would be a second text for it.
    let hrp = Hrp::parse("rs").unwrap();
    let digits: Vec<Fe32> = [7u8; 32].iter().copied().bytes_to_fes().collect();
    for filling in 0..16u8 {
        let mut digits = digits.clone();
        let last = digits.last_mut().unwrap();
        *last = Fe32::try_from((last.to_u8() & 16) | filling).unwrap();
        let text: String = digits.iter().copied().with_checksum::<Bech32m>(&hrp).chars().collect();
        assert_eq!(AccountId::parse(&text).is_ok(), filling == 0, "{text}");
    }
}
