//! The servents of the local network: told of this one, and found, while `lan` is on.
//!
//! What is announced is the servent's id, its port and its addresses, and nothing else:
//! no name and no mesh. So a stranger learns what he would by dialling, that a servent
//! with this public key answers there; a servent of a private mesh announces itself in
//! the same words. What is found goes to the engine as a contact that somebody told of:
//! TLS pins its id, the proof of the network tells whose mesh it is in.
//!
//! Always true: the engine is told of at most `FIND_RATE` a second, whatever the
//! network claims, and only of addresses that lie in a network of this machine's own.
//! Where the network cannot be looked at, `Looking` keeps the reason until it can.
//! How the network is asked is left to `mdns`, or to an imitation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, sleep, timeout};

use super::driver::Command;
use super::ground::Ground;
use super::network::Boxed;
use super::report::News;
use crate::base::{Bucket, Contact, ServentId, Time};
use crate::message::AgedContact;
use crate::overlay::Input;

/// Servents a second that the engine is told of, on average: as fast as it dials.
pub(super) const FIND_RATE: u64 = 1;
/// Servents at once: two full sets of neighbours.
const FIND_BURST: u64 = 16;
/// Servents that are remembered as found, and that wait to be told of: a large office.
/// Those beyond are left to find us, or to the next look at the network.
pub(super) const MAX_FOUND: usize = 256;
/// The pause before the network is looked at again, when that failed: a machine that wakes
/// up has its network back by then, and a flood of announcements costs little so seldom.
const AGAIN: Duration = Duration::from_secs(20);
/// How long who switched `lan` on waits to hear that it cannot work.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// How long a goodbye to the network may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// What a servent tells the local network of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announcement {
    /// Who it is.
    pub id: ServentId,
    /// Its port.
    pub port: u16,
    /// Where it listens; empty: on every address of the machine.
    pub addresses: Vec<IpAddr>,
}

/// How the look at the local network goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Looking {
    /// It is not looked at, or not yet.
    Off,
    /// So many servents are found.
    Finds(usize),
    /// Nobody can be found; why, as a phrase.
    Fails(String),
}

impl Looking {
    pub(super) fn found(&self) -> usize {
        match self {
            Self::Finds(found) => *found,
            Self::Off | Self::Fails(_) => 0,
        }
    }

    pub(super) fn why(&self) -> Option<&str> {
        match self {
            Self::Fails(why) => Some(why),
            Self::Off | Self::Finds(_) => None,
        }
    }
}

/// A servent that announced itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Who, as it claims.
    pub id: ServentId,
    /// Where, as it claims; all in networks of this machine.
    pub addresses: Vec<SocketAddr>,
}

/// What the network says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sighting {
    /// A servent is there, or elsewhere than before.
    Here(Found),
    /// It said goodbye, or its announcement has run out.
    Gone(ServentId),
}

/// The local network, while a servent is announced there.
pub trait Lan: Send {
    /// What is seen next; this servent itself may be among them.
    ///
    /// # Errors
    /// A sentence: why nobody is found there any more.
    fn next(&mut self) -> Boxed<'_, io::Result<Sighting>>;

    /// Takes the announcement back.
    fn leave(&mut self) -> Boxed<'_, ()>;
}

/// Announces and finds while `lan` is on, until the servent stops.
pub(super) async fn run(
    ground: Arc<Ground>,
    driver: mpsc::Sender<Command>,
    degree: watch::Receiver<usize>,
) {
    let mut told = None;
    loop {
        tokio::select! {
            biased;
            () = ground.stop.cancelled() => return,
            () = ground.panel.until(|tuning| tuning.lan) => {}
        }
        let Err(error) = look(&ground, &driver, &degree).await else {
            told = None; // switched off, or stopping
            continue;
        };
        ground.lan.send_replace(Looking::Fails(error.to_string()));
        let text = format!("nobody can be found on the local network: {error}");
        if told.as_ref() != Some(&text) {
            ground.tell(News::Notice { text: text.clone() });
            told = Some(text);
        }
        tokio::select! {
            () = ground.stop.cancelled() => return,
            () = ground.panel.until(|tuning| !tuning.lan) => {
                ground.lan.send_replace(Looking::Off);
                told = None;
            }
            () = sleep(AGAIN) => {}
        }
    }
}

/// Waits, for a moment, until a look that has been switched on has begun; why it failed.
pub(super) async fn first_look(ground: &Ground) -> Option<String> {
    let mut looking = ground.lan.subscribe();
    let began = timeout(FIRST_LOOK, looking.wait_for(|looking| *looking != Looking::Off)).await;
    began.ok()?.ok()?.why().map(str::to_owned)
}

/// Looks at the network until that fails, `lan` is off or the servent stops.
async fn look(
    ground: &Ground,
    driver: &mpsc::Sender<Command>,
    degree: &watch::Receiver<usize>,
) -> io::Result<()> {
    let mut lan = ground.network.lan(&announcement(ground)?)?;
    ground.lan.send_replace(Looking::Finds(0));
    let mut finds = Finds::new(ground.id, ground.clock.now());
    let mut news = ground.news.subscribe();
    let mut turn = interval(Duration::from_secs(1) / u32::try_from(FIND_RATE).unwrap_or(1));
    let ended = loop {
        tokio::select! {
            () = ground.stop.cancelled() => break Ok(()),
            () = ground.panel.until(|tuning| !tuning.lan) => break Ok(()),
            seen = lan.next() => match seen {
                Ok(Sighting::Here(found)) => finds.note(found),
                Ok(Sighting::Gone(id)) => finds.forget(id),
                Err(error) => break Err(error),
            },
            _ = turn.tick(), if finds.wait() => {}
            heard = news.recv() => match heard {
                Ok(News::NeighbourUp { id, name }) if finds.found_alone(id) => {
                    let text = format!("joined {}, found on this network", shown(&name, id));
                    ground.tell(News::Notice { text });
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break Ok(()),
            },
        }
        let contacts = finds.give(ground.clock.now(), *degree.borrow() == 0);
        ground.lan.send_replace(Looking::Finds(finds.found.len()));
        if !contacts.is_empty() {
            // Their addresses were judged already; those of our own networks are all private
            // to us, whatever they look like.
            let giver = Ipv4Addr::LOCALHOST.into();
            let _ = driver.send(Command::Tell(Input::Heard { contacts, giver })).await;
        }
    };
    ground.lan.send_replace(Looking::Off);
    let _ = timeout(GOODBYE, lan.leave()).await;
    ended
}

/// What the network is told, if anybody there can dial this servent at all.
fn announcement(ground: &Ground) -> io::Result<Announcement> {
    let listening = ground.listening();
    let port = listening.first().map_or(0, SocketAddr::port);
    let every = listening.iter().any(|address| address.ip().is_unspecified());
    let addresses: Vec<IpAddr> = if every { Vec::new() } else { ground.networks() };
    if !every && addresses.iter().all(IpAddr::is_loopback) {
        let why = "this servent listens where only this machine can dial it; start it with \
                   --listen :7272 to listen everywhere";
        return Err(io::Error::other(why));
    }
    Ok(Announcement { id: ground.id, port, addresses })
}

/// A servent as people read it; escaped by whoever shows the sentence.
fn shown(name: &str, id: ServentId) -> String {
    if name.is_empty() { id.short() } else { format!("{name}~{}", id.short()) }
}

/// Who was found, and who of them the engine has not been told of.
struct Finds {
    own: ServentId,
    found: BTreeMap<ServentId, Vec<SocketAddr>>,
    waiting: VecDeque<ServentId>,
    /// Those that were told of while there was no neighbour.
    alone: BTreeSet<ServentId>,
    rate: Bucket,
}

impl Finds {
    fn new(own: ServentId, now: Time) -> Self {
        Self {
            own,
            found: BTreeMap::new(),
            waiting: VecDeque::new(),
            alone: BTreeSet::new(),
            rate: Bucket::new(FIND_RATE, FIND_BURST, now),
        }
    }

    /// Takes in what the network says.
    fn note(&mut self, found: Found) {
        let Found { id, addresses } = found;
        let known = self.found.get(&id);
        let full = known.is_none() && self.found.len() >= MAX_FOUND;
        if id == self.own || addresses.is_empty() || full || known == Some(&addresses) {
            return;
        }
        self.found.insert(id, addresses);
        if !self.waiting.contains(&id) {
            self.waiting.push_back(id);
        }
    }

    /// Somebody is there no longer; what the engine knows it finds out by itself.
    fn forget(&mut self, id: ServentId) {
        self.found.remove(&id);
        self.waiting.retain(|waiting| *waiting != id);
    }

    /// Whether somebody waits to be told of.
    fn wait(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whom the engine is told of now; `alone`: it has no neighbour.
    fn give(&mut self, now: Time, alone: bool) -> Vec<AgedContact> {
        let mut given = Vec::new();
        while !self.waiting.is_empty() && self.rate.take(now, 1) {
            let Some(id) = self.waiting.pop_front() else { break };
            let addresses = self.found.get(&id).into_iter().flatten().copied();
            given.push(AgedContact { contact: Contact::new(id, addresses), age_secs: 0 });
            if alone {
                self.alone.insert(id);
            }
        }
        given
    }

    /// Whether the neighbour `id` ended the loneliness, and was found here; true once.
    fn found_alone(&mut self, id: ServentId) -> bool {
        let here = self.alone.contains(&id);
        self.alone.clear();
        here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    fn found(n: u16, port: u16) -> Found {
        let mut id = [7; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        Found { id: ServentId(id), addresses: vec![SocketAddr::from(([198, 18, 0, 1], port))] }
    }

    #[test]
    fn a_crowd_of_announcements_reaches_the_engine_drop_by_drop() {
        let mut finds = Finds::new(ServentId([0; 32]), at(0));
        (0..1000).for_each(|n| finds.note(found(n, 7272)));
        assert_eq!(finds.found.len(), MAX_FOUND);
        assert_eq!(finds.give(at(0), true).len() as u64, FIND_BURST);
        assert!(finds.give(at(0), true).is_empty());
        assert_eq!(finds.give(at(5), true).len() as u64, 5 * FIND_RATE);
        assert!(finds.wait());
        let rest: usize = (6..1000).map(|secs| finds.give(at(secs), true).len()).sum();
        assert_eq!(rest as u64, MAX_FOUND as u64 - FIND_BURST - 5 * FIND_RATE);
        assert!(!finds.wait());
    }

    #[test]
    fn the_engine_is_told_once_and_again_when_the_addresses_change() {
        let mut finds = Finds::new(found(1, 0).id, at(0));
        (0..3).for_each(|_| finds.note(found(2, 7272)));
        finds.note(found(1, 7272));
        finds.note(Found { addresses: Vec::new(), ..found(3, 0) });
        assert_eq!(finds.give(at(0), false).len(), 1, "nor itself, nor who is nowhere");
        finds.note(found(2, 7272));
        assert!(finds.give(at(0), false).is_empty());
        finds.note(found(2, 7273));
        finds.note(found(4, 7272));
        finds.forget(found(4, 0).id);
        let again = finds.give(at(0), false);
        assert_eq!(again.len(), 1, "and not of who has gone");
        assert_eq!(again[0].contact.addresses, found(2, 7273).addresses);
    }

    #[test]
    fn only_the_first_neighbour_of_a_newcomer_is_worth_a_word() {
        let mut finds = Finds::new(ServentId([0; 32]), at(0));
        (1..3).for_each(|n| finds.note(found(n, 7272)));
        finds.give(at(0), true);
        assert!(finds.found_alone(found(1, 0).id));
        assert!(!finds.found_alone(found(2, 0).id));
        finds.note(found(3, 7272));
        finds.give(at(0), false);
        assert!(!finds.found_alone(found(3, 0).id), "it was not alone");
    }
}
