//! The host cache on disk: one contact a line, as plain text.
//!
//! `id last-heard anchor|proven|told key=value ... address address ...`, the time in seconds
//! since 1970. The keys: `failures`, the dials in vain since then; `from`, who told of it;
//! `at`, where it welcomed a dial. Any may be missing, as all are in files of old; a key of
//! another version is passed over. Always true: at most [`MAX_CACHED`] contacts go out or
//! come in; a line that cannot be read is skipped and counted. Which contacts are worth
//! keeping is left to the overlay.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::error::StoreError;
use super::state::{Loaded, StateDir};
use crate::base::Contact;

/// Most contacts in the file: all that ever answered and as many who did not yet, under
/// 2 MiB.
pub const MAX_CACHED: usize = 4096;

/// A servent that may be dialled again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CachedContact {
    /// Who, and where.
    pub contact: Contact,
    /// When a byte was last heard of it, as far as is known, in seconds since 1970.
    pub heard_unix: u64,
    /// Whether a dial of ours to it was ever welcomed.
    pub proven: bool,
    /// Whether it is to be dialled first at the next start.
    pub anchor: bool,
    /// Dials in vain since it was last heard of.
    pub failures: u32,
    /// Who told of it first.
    pub source: Option<IpAddr>,
    /// Where it welcomed a dial, the last time.
    pub answered: Option<SocketAddr>,
}

/// What the file held.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LoadedHosts {
    /// The contacts, in the order in which they were saved.
    pub contacts: Vec<CachedContact>,
    /// Lines that could not be read, and those beyond [`MAX_CACHED`].
    pub skipped: usize,
    /// Where a damaged file was moved to, worth telling the user.
    pub damaged: Option<PathBuf>,
}

/// Writes the host cache as the state file `name`; contacts beyond [`MAX_CACHED`] are left out.
///
/// # Errors
/// As [`StateDir::write`].
pub fn save_hosts(
    state: &StateDir,
    name: &str,
    contacts: &[CachedContact],
) -> Result<(), StoreError> {
    state.write(name, to_text(contacts).as_bytes())
}

/// Reads the host cache from the state file `name`; `now_unix` names a damaged file that is set aside.
///
/// # Errors
/// As [`StateDir::read`].
pub fn load_hosts(state: &StateDir, name: &str, now_unix: u64) -> Result<LoadedHosts, StoreError> {
    let (bytes, damaged) = match state.read(name, now_unix)? {
        Loaded::Nothing => (Vec::new(), None),
        Loaded::Whole(bytes) => (bytes, None),
        Loaded::Damaged { aside, previous } => (previous.unwrap_or_default(), Some(aside)),
    };
    Ok(LoadedHosts { damaged, ..from_text(&String::from_utf8_lossy(&bytes)) })
}

fn to_text(contacts: &[CachedContact]) -> String {
    let mut text = String::new();
    for cached in contacts.iter().take(MAX_CACHED) {
        let how = match cached {
            CachedContact { anchor: true, .. } => "anchor",
            CachedContact { proven: true, .. } => "proven",
            _ => "told",
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "{} {} {how}", cached.contact.id, cached.heard_unix);
        if cached.failures > 0 {
            let _ = write!(text, " failures={}", cached.failures);
        }
        if let Some(source) = cached.source {
            let _ = write!(text, " from={source}");
        }
        if let Some(answered) = cached.answered {
            let _ = write!(text, " at={answered}");
        }
        for address in &cached.contact.addresses {
            let _ = write!(text, " {address}");
        }
        text.push('\n');
    }
    text
}

fn from_text(text: &str) -> LoadedHosts {
    let mut hosts = LoadedHosts::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match contact_of(line).filter(|_| hosts.contacts.len() < MAX_CACHED) {
            Some(contact) => hosts.contacts.push(contact),
            None => hosts.skipped += 1,
        }
    }
    hosts
}

fn contact_of(line: &str) -> Option<CachedContact> {
    let mut words = line.split_ascii_whitespace();
    let id = words.next()?.parse().ok()?;
    let heard_unix = words.next()?.parse().ok()?;
    let (proven, anchor) = match words.next()? {
        "anchor" => (true, true),
        "proven" => (true, false),
        "told" => (false, false),
        _ => return None,
    };
    let contact = Contact::new(id, []);
    let (source, answered, failures) = (None, None, 0);
    let mut cached =
        CachedContact { contact, heard_unix, proven, anchor, failures, source, answered };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some(("failures", value)) => cached.failures = value.parse().ok()?,
            Some(("from", value)) => cached.source = Some(value.parse().ok()?),
            Some(("at", value)) => cached.answered = Some(value.parse().ok()?),
            Some(_) => {}
            None => addresses.push(word.parse().ok()?),
        }
    }
    if addresses.is_empty() {
        return None; // nobody could dial it
    }
    cached.contact = Contact::new(id, addresses);
    Some(cached)
}

#[cfg(test)]
mod tests {
    use super::super::MemoryDisk;
    use super::*;
    use crate::base::ServentId;
    use std::path::Path;
    use std::sync::Arc;

    fn contact(seed: u16) -> CachedContact {
        let addresses =
            [SocketAddr::from(([198, 18, 0, 1], seed + 1)), "[2001:db8::1]:7272".parse().unwrap()];
        let id = ServentId([seed.to_le_bytes()[0]; 32]);
        let contact = Contact::new(id, addresses);
        let proven = seed.is_multiple_of(2);
        CachedContact {
            contact,
            heard_unix: u64::from(seed),
            proven,
            anchor: proven && seed < 3,
            failures: u32::from(seed % 3),
            source: (!proven).then(|| [198, 18, 7, 7].into()),
            answered: proven.then(|| SocketAddr::from(([198, 18, 0, 1], seed + 1))),
        }
    }

    fn state() -> (MemoryDisk, StateDir) {
        let disk = MemoryDisk::new();
        let state = StateDir::lock(Arc::new(disk.clone()), Path::new("/s"), 1).unwrap();
        (disk, state)
    }

    #[test]
    fn the_host_cache_reads_back_in_order() {
        let (_, state) = state();
        assert_eq!(load_hosts(&state, "hosts", 0).unwrap(), LoadedHosts::default());
        let contacts: Vec<_> = (0..100).map(contact).collect();
        save_hosts(&state, "hosts", &contacts).unwrap();
        assert_eq!(
            load_hosts(&state, "hosts", 0).unwrap(),
            LoadedHosts { contacts, skipped: 0, damaged: None }
        );
    }

    #[test]
    fn at_most_4096_contacts_go_out_and_come_in() {
        let contacts: Vec<_> = (0..=MAX_CACHED as u16).map(contact).collect();
        assert_eq!(to_text(&contacts).lines().count(), MAX_CACHED);
        let long = to_text(&contacts[..MAX_CACHED]) + &to_text(&contacts[MAX_CACHED..]);
        let hosts = from_text(&long);
        assert_eq!((hosts.contacts.len(), hosts.skipped), (MAX_CACHED, 1));
    }

    #[test]
    fn a_bad_line_costs_only_itself() {
        let id = ServentId([9; 32]);
        let text = format!(
            "{id} 5 proven 198.18.0.1:1\n\nrubbish\n{id} x told 198.18.0.1:1\n{id} 5 maybe \
             198.18.0.1:1\n{id} 5 told\n{id} 5 told nowhere:1\n{id} 6 told [::1]:2\n"
        );
        let hosts = from_text(&text);
        let heard: Vec<u64> = hosts.contacts.iter().map(|c| c.heard_unix).collect();
        assert_eq!((heard, hosts.skipped), (vec![5, 6], 5));
    }

    #[test]
    fn a_file_of_old_and_one_of_days_to_come_are_read() {
        let id = ServentId([9; 32]);
        let text = format!(
            "{id} 5 proven 198.18.0.1:1\n{id} 6 anchor colour=red failures=2 198.18.0.1:1\n"
        );
        let hosts = from_text(&text);
        let contact = Contact::new(id, ["198.18.0.1:1".parse().unwrap()]);
        let old = CachedContact {
            contact,
            heard_unix: 5,
            proven: true,
            anchor: false,
            failures: 0,
            source: None,
            answered: None,
        };
        let new = CachedContact { heard_unix: 6, anchor: true, failures: 2, ..old.clone() };
        assert_eq!((hosts.contacts, hosts.skipped), (vec![old, new], 0));
        let bad = from_text(&format!("{id} 5 proven at=nowhere 198.18.0.1:1\n"));
        assert_eq!((bad.contacts.len(), bad.skipped), (0, 1));
    }

    #[test]
    fn a_damaged_host_cache_is_told_and_the_one_before_is_used() {
        let (disk, state) = state();
        save_hosts(&state, "hosts", &[contact(1)]).unwrap();
        save_hosts(&state, "hosts", &[contact(1), contact(2)]).unwrap();
        disk.put("/s/hosts", b"\0\0\0\0");
        let hosts = load_hosts(&state, "hosts", 9).unwrap();
        assert_eq!(hosts.damaged.as_deref(), Some(Path::new("/s/hosts.bad-9")));
        assert_eq!(hosts.contacts, [contact(1)]);
    }
}
