//! Every target over its whole corpus and hundreds to thousands of seeded mutations of it, as time in `just test` allows;
//! `just fuzz-million` tries a million.
#![allow(clippy::unwrap_used, clippy::panic)]

use rustorium_fuzz::mutate::{BYTES_MAX, Draws, mutated};
use rustorium_fuzz::run::all;
use rustorium_fuzz::{Cost, TARGETS, corpus};
use std::collections::BTreeSet;
use std::fs;

const SEED: u64 = 20_261_125;

fn inputs(cost: Cost) -> u64 {
    match cost {
        Cost::Low => 15_000,
        Cost::Middle => 2_500,
        Cost::High => 400,
    }
}

/// Runs one of two halves, for two threads: expensive and cheap targets are next to each other in the list.
fn run(half: usize) {
    let findings: Vec<String> = TARGETS
        .iter()
        .skip(half)
        .step_by(2)
        .filter_map(|target| all(target, SEED, inputs(target.cost)).err().map(|finding| finding.to_string()))
        .collect();
    assert!(findings.is_empty(), "store these inputs in tests/fuzz/corpus:\n{}", findings.join("\n"));
}

#[test]
fn no_input_breaks_the_even_targets() {
    run(0);
}

#[test]
fn no_input_breaks_the_odd_targets() {
    run(1);
}

#[test]
fn every_folder_of_the_corpus_has_its_target_and_every_target_a_good_input() {
    let root = corpus::folder(&TARGETS[0]).parent().unwrap().to_owned();
    let folders = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let unknown: Vec<String> = folders.filter(|folder| !names.contains(folder)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert_eq!(names.len(), TARGETS.len());
    for target in TARGETS {
        assert!(corpus::all(target).len() > 1, "{} begins with nothing", target.name);
    }
}

#[test]
fn a_seed_gives_its_inputs_and_another_gives_others() {
    let corpus = vec![b"some input".to_vec(), Vec::new(), vec![7; BYTES_MAX]];
    let made = |seed, name| {
        let mut draws = Draws::new(seed, name);
        (0..2_000).map(|_| mutated(&corpus, &mut draws)).collect::<Vec<_>>()
    };
    assert_eq!(made(1, "a"), made(1, "a"));
    assert_ne!(made(1, "a"), made(2, "a"));
    assert_ne!(made(1, "a"), made(1, "b"));
    assert!(made(1, "a").iter().all(|input| input.len() <= BYTES_MAX));
}
