//! Each object that is altered, cut, removed or replaced by another is found and named, and nothing of it is restored.

use crate::world::World;
use rustorium_backup::{BackupError, FORMAT_MAX};
use rustorium_crypto::seal::BackupKey;
use std::collections::BTreeMap;
use std::fs;

/// Returns a damaged object, made from its contents, those of another object, and a number that chooses; `None` removes
/// the object.
type Harm = fn(&[u8], &[u8], usize) -> Option<Vec<u8>>;

const HARMS: [(&str, Harm); 6] = [
    ("a bit flipped", |bytes, _, n| {
        let mut bytes = bytes.to_vec();
        let bit = n % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        Some(bytes)
    }),
    ("cut", |bytes, _, n| Some(bytes[..n % bytes.len()].to_vec())),
    ("emptied", |_, _, _| Some(Vec::new())),
    ("grown", |bytes, _, n| Some([bytes, &[n as u8]].concat())),
    ("another's", |_, other, _| Some(other.to_vec())),
    ("removed", |_, _, _| None),
];

fn put_back(world: &World, objects: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in objects {
        fs::write(world.destination().join(name), bytes).unwrap();
    }
}

#[test]
fn every_harm_to_every_object_is_found_and_named() {
    let world = World::new();
    world.create().unwrap();
    fs::write(world.home().join("config.toml"), "another").unwrap();
    world.create().unwrap();
    let objects = world.objects();
    assert!(objects.len() > 12);
    let names: Vec<&String> = objects.keys().collect();
    let home = world.root.path().join("restored");
    let mut number = 1usize;
    for (at, name) in names.iter().enumerate() {
        for (what, harm) in HARMS {
            for _ in 0..3 {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let other = &objects[names[(at + 1 + number % (names.len() - 1)) % names.len()]];
                let harmed = harm(&objects[*name], other, number >> 17);
                let path = world.destination().join(name);
                match &harmed {
                    Some(bytes) => fs::write(&path, bytes).unwrap(),
                    None => fs::remove_file(&path).unwrap(),
                }
                let verified = world.backups().verify().unwrap();
                let named: Vec<&str> = verified.damaged.iter().map(|damage| damage.object.as_str()).collect();
                assert_eq!(named, [name.as_str()], "{what}, {number}");
                assert!(!verified.damaged[0].what.is_empty());
                if name.starts_with("pieces/") {
                    assert!(!verified.damaged[0].files.is_empty() && !verified.damaged[0].backups.is_empty());
                }
                put_back(&world, &objects);
            }
        }
        // A backup with a damaged piece puts nothing in place.
        if name.starts_with("pieces/") {
            let mut bad = objects[*name].clone();
            bad[40] ^= 1;
            fs::write(world.destination().join(name), bad).unwrap();
            for row in world.backups().list().unwrap() {
                match world.restore_to(&home, Some(row.id)) {
                    Err(BackupError::Damaged { object, .. }) => {
                        assert!(object == **name || object == "epochs", "{object}")
                    }
                    Err(error) => panic!("{error}"),
                    // The other backup's pieces.
                    Ok(_) => fs::remove_dir_all(&home).unwrap(),
                }
                assert!(!home.exists());
            }
            put_back(&world, &objects);
        }
    }
    assert_eq!(world.backups().verify().unwrap().damaged, []);
}

#[test]
fn a_manifest_that_cannot_be_read_keeps_everything_from_being_removed() {
    let world = World::new();
    let first = world.create().unwrap();
    fs::write(world.home().join("config.toml"), "another").unwrap();
    let second = world.create().unwrap();
    let path = world.destination().join(format!("manifests/{}", first.id));
    let good = fs::read(&path).unwrap();
    fs::write(&path, &good[..good.len() - 1]).unwrap();
    let before = world.objects();
    let error = world.backups().retain(1).unwrap_err();
    assert!(matches!(&error, BackupError::Unclear { object, .. } if object.contains(&first.id.to_string())), "{error}");
    assert_eq!(world.objects(), before);
    let states: Vec<String> = world.backups().list().unwrap().into_iter().map(|row| row.state).collect();
    assert!(states[0].starts_with("damaged") && states[1] == "good", "{states:?}");
    // The other backup can still be restored.
    let home = world.root.path().join("restored");
    assert_eq!(world.restore_to(&home, None).unwrap().id, second.id);
    // A missing manifest is noticed, also after others were removed.
    fs::remove_file(&path).unwrap();
    assert_eq!(world.backups().retain(1).unwrap().kept, 1);
    let third = world.create().unwrap();
    world.backups().retain(1).unwrap();
    let verified = world.backups().verify().unwrap();
    let named: Vec<_> = verified.damaged.iter().map(|damage| damage.object.clone()).collect();
    assert_eq!(named, [format!("manifests/{}", first.id)]);
    assert!(world.objects().contains_key(&format!("manifests/{}", third.id)));
}

#[test]
fn a_backup_whose_pieces_are_gone_or_cut_is_not_listed_as_good() {
    let world = World::new();
    world.create().unwrap();
    let objects = world.objects();
    let mut brought_back = 0;
    for (name, bytes) in objects.iter().filter(|(name, _)| name.starts_with("pieces/")) {
        fs::write(world.destination().join(name), &bytes[..bytes.len() - 1]).unwrap();
        assert!(world.backups().list().unwrap()[0].state.contains("cut short"));
        fs::remove_file(world.destination().join(name)).unwrap();
        assert!(world.backups().list().unwrap()[0].state.contains("missing"));
        // The next backup restores the shared pieces for both backups. A new copy of the store has its own files.
        let lost = world.backups().verify().unwrap().damaged.remove(0);
        world.create().unwrap();
        if !lost.files.iter().any(|file| file.starts_with("db/")) {
            assert_eq!(world.backups().verify().unwrap().damaged, []);
            brought_back += 1;
        }
        for name in world.objects().keys().filter(|name| !objects.contains_key(*name)) {
            fs::remove_file(world.destination().join(name)).unwrap();
        }
        put_back(&world, &objects);
    }
    assert!(brought_back >= 6, "{brought_back}");
}

#[test]
fn a_backup_of_a_newer_release_is_named_so_and_hides_no_other() {
    let world = World::new();
    let older = world.create().unwrap().id;
    let newer = world.create().unwrap().id;
    // A manifest is sealed under its id, and begins with its format.
    let contents = [(FORMAT_MAX + 1).to_le_bytes().as_slice(), &3u32.to_le_bytes(), b"new"].concat();
    let sealed = BackupKey::from_secret(&[5; 32]).unwrap().seal(2, &newer.0, &contents).unwrap();
    fs::write(world.destination().join(format!("manifests/{newer}")), sealed).unwrap();
    let home = world.root.path().join("restored");
    let refused = world.restore_to(&home, Some(newer)).unwrap_err();
    assert!(
        matches!(&refused, BackupError::Format { id, found } if *id == newer.to_string() && *found == FORMAT_MAX + 1)
    );
    assert!(refused.to_string().contains("use the release that wrote it"), "{refused}");
    assert!(!home.exists());
    assert_eq!(world.restore_to(&home, Some(older)).unwrap().id, older);
}
