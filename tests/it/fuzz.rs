//! The bodies of fuzz/ on the stable toolchain: over the corpus that is kept, and over what is made from it here.

#[path = "../fuzz/bodies.rs"]
mod bodies;

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use bodies::{TARGETS, Target};

/// Cases for each target: a second or two for the slowest.
const CASES: u32 = 128;

/// Whatever fuzzing has found, and what gives it something to begin with.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new("fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap();
    let mut paths: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let inputs: Vec<_> = paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    inputs
}

/// A part of one input, something strange, and a part of another.
fn mixed(inputs: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let part = (any::<Index>(), any::<Index>(), any::<Index>());
    let strange = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..8),
        ".{0,6}".prop_map(String::into_bytes),
        prop::sample::select(vec![
            "", "\0", "\"", "{", "]", "\\u", "1e999", "{{", "null", "\n"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    (part.clone(), strange, part).prop_map(move |(one, strange, other)| {
        let first = one.0.get(&inputs);
        let second = other.0.get(&inputs);
        let until = one.1.index(first.len() + 1);
        let from = other.1.index(second.len() + 1);
        [&first[..until], &strange, &second[from..]].concat()
    })
}

fn check((name, body): Target) {
    let inputs = corpus(name);
    for input in &inputs {
        body(input);
    }
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&mixed(inputs), |input| {
        body(&input);
        Ok(())
    });
    assert!(outcome.is_ok(), "{name}: {outcome:?}");
}

#[test]
fn nothing_that_comes_in_breaks_a_promise() {
    for target in TARGETS {
        check(target);
    }
}

#[test]
fn every_body_is_a_target_of_cargo_fuzz_and_the_corpus_stays_small() {
    let manifest = std::fs::read_to_string("fuzz/Cargo.toml").unwrap();
    let mut total = 0;
    for (name, _) in TARGETS {
        let text = std::fs::read_to_string(format!("fuzz/fuzz_targets/{name}.rs")).unwrap();
        assert!(text.contains(&format!("(\"{name}\"")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        total += corpus(name).iter().map(Vec::len).sum::<usize>();
    }
    assert!(total < 200_000, "{total} bytes");
}
