//! Files that are shared, and commands that must succeed.

use std::fs;

use super::servent::TestServent;

/// Content that no other file of the tests has.
pub fn content(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

/// What b3sum prints.
pub fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_string()
}

/// Has `servent` obey a command that must succeed; what it said.
pub fn done(servent: &TestServent, words: &[&str]) -> String {
    let answer = servent.ctl(words);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{words:?}");
    answer.out
}

/// Writes `bytes` as `name` at home, and publishes that.
pub fn publish(servent: &TestServent, name: &str, bytes: &[u8]) {
    let path = servent.home().join(name);
    fs::write(&path, bytes).expect("a test folder");
    done(servent, &["publish", path.to_str().expect("a test folder")]);
}
