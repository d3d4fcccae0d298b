//! Text by people and other programs: addresses and delay matrices.

use crate::corpus::vectors;
use rustorium_transport::{PeerAddress, Shaper, ShaperOptions};
use rustorium_types::{AccountId, ValidatorIndex};

pub fn address(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(account) = AccountId::parse(text) {
        assert_eq!(account.to_string(), text.to_ascii_lowercase(), "a second address of an account");
    }
}

pub fn addresses() -> Vec<Vec<u8>> {
    vectors("addresses.json").iter().map(|case| case["text"].as_str().unwrap().into()).collect()
}

pub fn peer_address(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(address) = PeerAddress::parse(text) {
        let again = PeerAddress::parse(&address.to_string()).unwrap();
        assert_eq!(again, address);
        address.fixed();
    }
}

pub fn peer_addresses() -> Vec<Vec<u8>> {
    ["127.0.0.1:26650", "[2001:db8::1]:1", "node-0.example.org:26650"].map(Into::into).to_vec()
}

pub fn delay_matrix(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let regions = ["a", "b", "a"];
    if let Ok(shaper) = Shaper::from_matrix(text, &regions, ShaperOptions::default()) {
        for (from, to) in [(0, 1), (1, 2), (2, 2)] {
            shaper.one_way(ValidatorIndex(from), ValidatorIndex(to));
        }
    }
}

pub fn delay_matrices() -> Vec<Vec<u8>> {
    let plain = r#"{"regions": ["a", "b"], "p50": [[0.5, 80.25], [80, 1]]}"#;
    let with_zones = r#"{"aws": {"regions": ["a", "b"], "p50": [[1, 2], [2, 1]]},
        "intra_region": {"inter_az_rtt_ms_min_typ_max": [0.1, 0.5, 1.5]}}"#;
    [plain, with_zones].map(Into::into).to_vec()
}
