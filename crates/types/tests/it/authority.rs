//! Authorities: the rules of V17 for keys and thresholds, made and decoded alike.

use proptest::collection::vec;
use proptest::prelude::*;
use rustorium_types::limits::AUTHORITY_KEYS_MAX;
use rustorium_types::{Authority, AuthorityFault, SignerKey, decode, encode, is_small_order};

fn keys(firsts: &[u8]) -> Vec<SignerKey> {
    firsts
        .iter()
        .map(|first| SignerKey::Ed25519([[*first].as_slice(), &[7; 31]].concat().try_into().unwrap()))
        .collect()
}

/// The encoding of these parts, canonical or not.
fn raw(threshold: u8, keys: &[SignerKey]) -> Vec<u8> {
    [vec![threshold, keys.len() as u8], keys.iter().flat_map(encode).collect()].concat()
}

fn both(threshold: u8, keys: Vec<SignerKey>) -> Result<Authority, AuthorityFault> {
    let decoded = decode::<Authority>(&raw(threshold, &keys), 1000);
    let made = Authority::new(threshold, keys);
    match &made {
        Ok(authority) => assert_eq!(decoded.as_ref(), Ok(authority)),
        Err(fault) => assert!(decoded.unwrap_err().to_string().contains(&fault.to_string())),
    }
    made
}

#[test]
fn each_fault_is_named() {
    let threshold = |threshold, keys| Err(AuthorityFault::Threshold { threshold, keys });
    assert_eq!(both(0, vec![]), Err(AuthorityFault::Keys(0)));
    assert_eq!(both(1, keys(&[1, 2, 3, 4, 5, 6, 7, 8, 9])), Err(AuthorityFault::Keys(9)));
    assert_eq!(both(0, keys(&[1, 2])), threshold(0, 2));
    assert_eq!(both(3, keys(&[1, 2])), threshold(3, 2));
    assert_eq!(both(1, keys(&[2, 1])), Err(AuthorityFault::Order));
    assert_eq!(both(1, keys(&[1, 3, 2])), Err(AuthorityFault::Order));
    assert_eq!(both(2, keys(&[1, 1])), Err(AuthorityFault::Order), "a key twice");
    let small = SignerKey::Ed25519([0; 32]);
    assert_eq!(both(1, [vec![small], keys(&[1])].concat()), Err(AuthorityFault::SmallOrder(0)));
    assert_eq!(Authority::of_key([0; 32]), Err(AuthorityFault::SmallOrder(0)));
    for (threshold, firsts) in [(1, &[1][..]), (1, &[1, 2]), (2, &[1, 2]), (8, &[1, 2, 3, 4, 5, 6, 7, 8])] {
        let authority = both(threshold, keys(firsts)).unwrap();
        assert_eq!((authority.threshold(), authority.keys()), (threshold, keys(firsts).as_slice()));
        assert_eq!(encode(&authority), raw(threshold, &keys(firsts)));
    }
}

#[test]
fn one_key_takes_35_bytes() {
    let authority = Authority::of_key([1; 32]).unwrap();
    assert_eq!((encode(&authority).len(), authority.only_key()), (35, Some(&[1; 32])));
    let two = Authority::new(1, keys(&[1, 2])).unwrap();
    assert_eq!(two.only_key(), None, "one of two keys");
}

/// Nine keys are announced: not one of them is read.
#[test]
fn too_many_keys_are_refused_by_their_number() {
    let refused = decode::<Authority>(&[1, 9], 1000).unwrap_err().to_string();
    assert!(refused.contains(&AuthorityFault::Keys(9).to_string()), "{refused}");
}

proptest! {
    #[test]
    fn what_is_made_is_what_the_rules_allow(threshold in 0u8..10, firsts in vec(1u8..12, 0..10), sort: bool) {
        let mut firsts = firsts;
        if sort {
            firsts.sort_unstable();
            firsts.dedup();
        }
        let all = keys(&firsts);
        let ascending = firsts.windows(2).all(|pair| pair[0] < pair[1]);
        let fits = (1..=AUTHORITY_KEYS_MAX).contains(&all.len()) && (1..=all.len()).contains(&usize::from(threshold));
        prop_assert!(all.iter().all(|SignerKey::Ed25519(key)| !is_small_order(key)));
        prop_assert_eq!(both(threshold, all).is_ok(), ascending && fits);
    }
}
