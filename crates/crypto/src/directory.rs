//! Signatures of nodes under their records in the directory.

use crate::hash::{domain, signed_bytes};
use crate::sign::{SigningKey, verify};
use rustorium_types::{ChainId, NodeRecord, SignedNodeRecord};

/// Signs a record by the node's key, which it names.
pub fn sign_record(key: &SigningKey, record: NodeRecord) -> SignedNodeRecord {
    let record = NodeRecord { node_key: key.public(), ..record };
    let signature = key.sign(&signed_bytes(domain::NODE_RECORD, &record));
    SignedNodeRecord { record, signature }
}

/// Tells if a node of this chain said this, within the limits of records.
pub fn holds(one: &SignedNodeRecord, chain: &ChainId) -> bool {
    let signed = || signed_bytes(domain::NODE_RECORD, &one.record);
    one.record.chain == *chain && one.record.is_sound() && verify(&one.record.node_key, &signed(), &one.signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_types::{BoundedBytes, GeoLocation, NODE_RECORD_MS_MAX};

    const CHAIN: ChainId = ChainId([7; 32]);

    fn record(key: &SigningKey) -> NodeRecord {
        NodeRecord {
            chain: CHAIN,
            node_key: key.public(),
            region: 19,
            place: Some(GeoLocation { latitude_e7: 356_800_000, longitude_e7: 1_397_700_000 }),
            url: BoundedBytes::new(b"https://node.example:26651".to_vec()).unwrap(),
            made_ms: 1_000,
            until_ms: 1_000 + NODE_RECORD_MS_MAX,
        }
    }

    fn signed(change: impl FnOnce(&mut NodeRecord)) -> SignedNodeRecord {
        let key = SigningKey::from_seed(&[3; 32]);
        let mut record = record(&key);
        change(&mut record);
        sign_record(&key, record)
    }

    #[test]
    fn a_node_speaks_for_itself_on_its_chain() {
        let one = signed(|_| ());
        assert!(holds(&one, &CHAIN));
        assert!(!holds(&one, &ChainId([8; 32])));
        let mut moved = one.clone();
        moved.record.region = 20;
        assert!(!holds(&moved, &CHAIN), "another place");
        let mut stolen = one;
        stolen.record.node_key = SigningKey::from_seed(&[4; 32]).public();
        assert!(!holds(&stolen, &CHAIN), "another node");
    }

    #[test]
    fn what_is_beyond_the_limits_says_nothing() {
        let url = |bytes: &[u8]| BoundedBytes::new(bytes.to_vec()).unwrap();
        assert!(!holds(&signed(|record| record.until_ms += 1), &CHAIN));
        assert!(!holds(&signed(|record| record.until_ms = 999), &CHAIN));
        let north = GeoLocation { latitude_e7: 900_000_001, longitude_e7: 0 };
        assert!(!holds(&signed(|record| record.place = Some(north)), &CHAIN));
        let lowest = GeoLocation { latitude_e7: i32::MIN, longitude_e7: i32::MIN };
        assert!(!holds(&signed(|record| record.place = Some(lowest)), &CHAIN));
        assert!(!holds(&signed(|record| record.url = url(b"https://a b")), &CHAIN));
        assert!(!holds(&signed(|record| record.url = url(b"https://\xff")), &CHAIN));
        assert!(holds(&signed(|record| record.url = url(b"")), &CHAIN), "a node without an API");
    }
}
