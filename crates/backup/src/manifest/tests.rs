use super::*;
use rustorium_types::{BoundedBytes, BoundedVec, Genesis, NEWEST_VERSION, Parameters, Rules};

fn manifest(rules: Rules) -> Manifest {
    let genesis = Genesis {
        version: rules.version(),
        name: BoundedBytes::default(),
        time_ms: 0,
        parameters: Parameters::of(rules),
        validators: BoundedVec::default(),
        accounts: BoundedVec::default(),
        pools: BoundedVec::default(),
        sponsors: BoundedVec::default(),
        shards: BoundedVec::default(),
    };
    Manifest {
        chain: ChainId::ZERO,
        node_key: [0; 32],
        node: String::new(),
        validator: true,
        program: String::new(),
        made_ms: 0,
        root: CertifiedRange {
            header: rustorium_execution::genesis(&genesis, ShardId::ROOT).header,
            certificate: None,
            oldest: Height(0),
            newest: Height(0),
        },
        files: Vec::new(),
        others: BTreeMap::new(),
    }
}

/// A release that knows version 1 alone reads format 1 alone.
#[test]
fn the_format_is_the_protocol_version_of_the_tip() {
    for (rules, format) in [(Rules::V1, 1u32), (Rules::V2, 2)] {
        let (manifest, bytes) = (manifest(rules), manifest(rules).to_bytes());
        assert_eq!(&bytes[..4], format.to_le_bytes());
        assert!(Manifest::from_bytes(&bytes).is_ok_and(|read| read == manifest));
        let other = [&(3 - format).to_le_bytes(), &bytes[4..]].concat();
        assert!(matches!(Manifest::from_bytes(&other), Err(Fault::Malformed)));
    }
    let newer = [&4u32.to_le_bytes(), &manifest(Rules::V2).to_bytes()[4..]].concat();
    assert!(matches!(Manifest::from_bytes(&newer), Err(Fault::Format(4))));
}

#[test]
fn a_home_of_several_shards_has_a_format_of_its_own() {
    const { assert!(FORMAT_MAX > NEWEST_VERSION as u32) };
    let one = manifest(Rules::V2);
    let with = |shard| Manifest { others: BTreeMap::from([(ShardId(shard), one.root.clone())]), ..one.clone() };
    let bytes = with(1).to_bytes();
    assert_eq!(&bytes[..4], FORMAT_MAX.to_le_bytes());
    assert_eq!(Manifest::from_bytes(&bytes).unwrap(), with(1));
    assert_eq!(with(1).shards().map(|(shard, _)| shard.0).collect::<Vec<_>>(), [0, 1]);
    // The root twice, and a list of no others.
    assert!(matches!(Manifest::from_bytes(&with(0).to_bytes()), Err(Fault::Malformed)));
    let twice: Others = vec![(ShardId(1), one.root.clone()), (ShardId(1), one.root.clone())];
    let unordered: Others = vec![(ShardId(2), one.root.clone()), (ShardId(1), one.root.clone())];
    for others in [twice, unordered] {
        let bytes = encode(&Versioned { format: FORMAT_MAX, contents: [encode(&one), encode(&others)].concat() });
        assert!(matches!(Manifest::from_bytes(&bytes), Err(Fault::Malformed)));
    }
    let empty = Versioned { format: FORMAT_MAX, contents: [encode(&one), vec![0; 4]].concat() };
    assert!(matches!(Manifest::from_bytes(&encode(&empty)), Err(Fault::Malformed)));
}
