//! Asking around: a bounded crawl of the mesh, for a map.
//!
//! Each servent that becomes known is dialled once and names its living neighbours. Always true: at most [`MAX_ASKED`] are asked in [`CRAWL_TIME`], [`AT_ONCE`]
//! at a time, [`DIALS`] a second, and of addresses that strangers named no more than may be
//! dialled on such a word. Whoever drops [`Servent::explore`] keeps the [`Map`] as far as
//! it came.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::dial::{self, DialError};
use super::greeting::{Greeted, Reception};
use super::handle::Servent;
use super::report::{Asking, MapLink, MapProgress, MapReport, MappedReport};
use crate::base::{Contact, ServentId, Time};
use crate::message::Living;
use crate::overlay::{Dialling, Permit, Unanswered, config, dialable};

/// Servents that one map asks: what a drawing can show.
pub(super) const MAX_ASKED: usize = 200;
/// Servents that one map knows; of others only the number is kept.
const MAX_MAPPED: usize = 1000;
/// Servents dialled at a time: fewer than the servent itself may dial.
const AT_ONCE: usize = 8;
/// Servents dialled a second: a person typed the command, and waits.
const DIALS: u64 = 20;
/// How long one map may take.
pub(super) const CRAWL_TIME: Duration = Duration::from_secs(30);
/// How long one servent may take to answer.
const DIAL_TIME: Duration = Duration::from_secs(5);
/// How soon to look again when no dial is allowed.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What stays from one map to the next.
#[derive(Debug)]
pub(super) struct Atlas {
    answers: BTreeMap<ServentId, Answer>,
    dialling: Dialling,
}

/// What a servent named.
#[derive(Clone, Debug)]
struct Answer {
    at: Time,
    neighbours: Vec<Contact>,
    unnamed: u64,
}

impl Atlas {
    pub(super) fn new(unanswered: Unanswered, now: Time) -> Self {
        let dialling = Dialling::paced(DIALS, DIALS, unanswered, now);
        Self { answers: BTreeMap::new(), dialling }
    }

    /// Forgets what servents would tell again.
    fn forget_old(&mut self, now: Time) {
        self.answers.retain(|_, answer| now.since(answer.at) < config::SURVEY_EVERY);
    }
}

/// A map that is being made; clones are the same one.
#[derive(Clone, Debug)]
pub struct Map(Arc<Mutex<Chart>>);

#[derive(Debug)]
struct Chart {
    servents: Vec<MappedReport>,
    places: BTreeMap<ServentId, usize>,
    links: BTreeSet<(usize, usize)>,
    /// Those that are to be asked, the nearest first.
    queue: VecDeque<usize>,
    asked: usize,
    note: Option<String>,
}

impl Map {
    fn new(id: ServentId, name: String, addresses: Vec<SocketAddr>) -> Self {
        let mut chart = Chart {
            servents: Vec::new(),
            places: BTreeMap::new(),
            links: BTreeSet::new(),
            queue: VecDeque::new(),
            asked: 0,
            note: None,
        };
        chart.place(Contact { id, addresses }, name, Asking::Here);
        Self(Arc::new(Mutex::new(chart)))
    }

    fn lock(&self) -> MutexGuard<'_, Chart> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known by now.
    #[must_use]
    pub fn report(&self) -> MapReport {
        let chart = self.lock();
        let mut servents = chart.servents.clone();
        for (servent, hops) in servents.iter_mut().zip(chart.hops()) {
            servent.hops = hops;
        }
        let links = chart.links.iter().map(|&(one, other)| MapLink { one, other });
        MapReport { servents, links: links.collect(), note: chart.note.clone() }
    }
}

impl Chart {
    /// The place of a servent, which may be new; none when there is no room for it.
    fn place(&mut self, contact: Contact, name: String, asking: Asking) -> Option<usize> {
        if let Some(&at) = self.places.get(&contact.id) {
            let servent = self.servents.get_mut(at)?;
            if servent.addresses.is_empty() && asking != Asking::Here && at > 0 {
                servent.addresses = contact.addresses;
                self.queue.extend((!servent.addresses.is_empty()).then_some(at));
            }
            return Some(at);
        }
        if self.servents.len() >= MAX_MAPPED {
            return None;
        }
        let at = self.servents.len();
        self.places.insert(contact.id, at);
        self.queue.extend((at > 0 && !contact.addresses.is_empty()).then_some(at));
        let Contact { id, addresses } = contact;
        self.servents.push(MappedReport { id, name, addresses, hops: None, asking, unnamed: 0 });
        Some(at)
    }

    fn link(&mut self, one: usize, other: usize) {
        if one != other {
            self.links.insert((one.min(other), one.max(other)));
        }
    }

    /// Takes in whom the servent at `at` named.
    fn take(&mut self, at: usize, asking: Asking, answer: Answer) {
        let mut unnamed = answer.unnamed;
        for contact in answer.neighbours {
            match self.place(contact, String::new(), Asking::NotDialled) {
                Some(other) => self.link(at, other),
                None => unnamed += 1,
            }
        }
        if let Some(servent) = self.servents.get_mut(at) {
            (servent.asking, servent.unnamed) = (asking, unnamed);
        }
    }

    /// Links from the first servent to each.
    fn hops(&self) -> Vec<Option<usize>> {
        let mut near = vec![Vec::new(); self.servents.len()];
        for &(one, other) in &self.links {
            for (from, to) in [(one, other), (other, one)] {
                if let Some(near) = near.get_mut(from) {
                    near.push(to);
                }
            }
        }
        let mut hops = vec![None; self.servents.len()];
        let mut queue = VecDeque::from([(0, 0)]);
        while let Some((at, far)) = queue.pop_front() {
            let Some(known) = hops.get_mut(at).filter(|known| known.is_none()) else { continue };
            *known = Some(far);
            queue.extend(near.get(at).into_iter().flatten().map(|&next| (next, far + 1)));
        }
        hops
    }
}

/// A dial of a map; however it ends, its place among the dials is free again.
struct Errand {
    servent: Servent,
    id: ServentId,
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.servent.atlas().dialling.failed(self.id);
    }
}

/// Whether somebody can be dialled now.
enum Next {
    Dial(usize, Contact),
    Later,
    Nobody,
}

impl Servent {
    /// A map that holds this servent alone.
    #[must_use]
    pub fn begin_map(&self) -> Map {
        let ground = &self.0.ground;
        Map::new(ground.id, ground.panel.now().name.clone(), ground.addresses())
    }

    /// Asks around until everybody is asked that can be, or a bound is reached.
    pub async fn explore(&self, map: &Map, progress: mpsc::Sender<MapProgress>) {
        let ground = &self.0.ground;
        self.atlas().forget_old(ground.clock.now());
        for peer in self.peers().await {
            let contact = Contact { id: peer.id, addresses: peer.addresses };
            let mut chart = map.lock();
            if let Some(at) = chart.place(contact, peer.name, Asking::NotDialled) {
                chart.link(0, at);
            }
        }
        for peer in self.known().await {
            let contact = Contact { id: peer.id, addresses: peer.addresses };
            map.lock().place(contact, peer.name, Asking::NotDialled);
        }
        let until = Instant::now() + CRAWL_TIME;
        let mut told = None;
        let mut dials = JoinSet::new();
        loop {
            let mut waits = false;
            while dials.len() < AT_ONCE {
                match self.next(map, dials.len()) {
                    Next::Dial(at, contact) => {
                        let ground = Arc::clone(ground);
                        let errand = Errand { servent: self.clone(), id: contact.id };
                        dials.spawn(async move {
                            let id = Some(contact.id);
                            let dial = dial::ask_around(&ground, &contact.addresses, id);
                            let dialled = timeout(DIAL_TIME, dial).await.ok();
                            (at, errand, dialled)
                        });
                    }
                    Next::Later => {
                        waits = true;
                        break;
                    }
                    Next::Nobody => break,
                }
            }
            if dials.is_empty() && !waits {
                return;
            }
            tokio::select! {
                biased;
                () = ground.stop.cancelled() => return,
                () = sleep_until(until) => {
                    let text = format!("not everybody was asked within {} s", CRAWL_TIME.as_secs());
                    map.lock().note = Some(text);
                    return;
                }
                Some(joined) = dials.join_next() => {
                    if let Ok((at, errand, dialled)) = joined {
                        self.on_dialled(map, at, errand.id, dialled);
                    }
                }
                () = tokio::time::sleep(LOOK_AGAIN), if waits => {}
            }
            let now = {
                let chart = map.lock();
                MapProgress { known: chart.servents.len(), asked: chart.asked }
            };
            // Who shows it may be behind; the next one says the same and more.
            if told != Some(now) && progress.try_send(now).is_ok() {
                told = Some(now);
            }
        }
    }

    fn atlas(&self) -> MutexGuard<'_, Atlas> {
        self.0.atlas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom to dial next, while `under_way` dials have not been answered. Whoever's
    /// neighbourhood was dialled too often has another turn once they are.
    fn next(&self, map: &Map, under_way: usize) -> Next {
        let mut chart = map.lock();
        let mut spared = VecDeque::new();
        let next = self.next_of(&mut chart, &mut spared);
        if under_way == 0 && matches!(next, Next::Nobody) {
            return next; // no answer will come that lets them be dialled
        }
        let waits = matches!(next, Next::Nobody) && !spared.is_empty();
        chart.queue.extend(spared);
        if waits { Next::Later } else { next }
    }

    fn next_of(&self, chart: &mut Chart, spared: &mut VecDeque<usize>) -> Next {
        while let Some(&at) = chart.queue.front() {
            if chart.asked >= MAX_ASKED {
                chart.note = Some(format!("only {MAX_ASKED} servents were asked"));
                return Next::Nobody;
            }
            let Some(servent) = chart.servents.get(at) else { return Next::Nobody };
            let mut contact = Contact { id: servent.id, addresses: servent.addresses.clone() };
            match self.atlas().dialling.begin(self.0.ground.clock.now(), &mut contact, None, false)
            {
                Permit::NoMore => return Next::Later,
                permit => {
                    chart.queue.pop_front();
                    if permit == Permit::Granted {
                        chart.asked += 1;
                        return Next::Dial(at, contact);
                    }
                    if !servent.addresses.is_empty() {
                        spared.push_back(at);
                    }
                }
            }
        }
        Next::Nobody
    }

    /// What came of a dial; none: it took too long.
    fn on_dialled(
        &self,
        map: &Map,
        at: usize,
        id: ServentId,
        dialled: Option<Result<(Greeted, Reception), DialError>>,
    ) {
        let now = self.0.ground.clock.now();
        let mut atlas = self.atlas();
        let mut chart = map.lock();
        let (greeted, reception) = match dialled {
            Some(Ok(met)) => met,
            failed => {
                atlas.dialling.failed(id);
                let why = match failed {
                    Some(Err(error)) => error.to_string(),
                    _ => format!("no answer within {} s", DIAL_TIME.as_secs()),
                };
                if let Some(servent) = chart.servents.get_mut(at) {
                    servent.asking = Asking::Failed { why };
                }
                return;
            }
        };
        let seen = greeted.peer.seen;
        atlas.dialling.answered(id, &seen);
        if let Some(servent) = chart.servents.get_mut(at) {
            servent.name = greeted.hello.name;
        }
        let told = match reception {
            Reception::Welcomed(welcome) => {
                Living::of(&welcome.ext).map(|living| (living, welcome.contacts))
            }
            Reception::Redirected(_) => None,
        };
        let Some((living, contacts)) = told else {
            let known = atlas.answers.get(&id).cloned();
            let asking = known.as_ref().map_or(Asking::Declined, |answer| Asking::Remembered {
                secs: now.since(answer.at).as_secs(),
            });
            let nothing = Answer { at: now, neighbours: Vec::new(), unnamed: 0 };
            chart.take(at, asking, known.unwrap_or(nothing));
            return;
        };
        let neighbours: Vec<Contact> = contacts
            .into_iter()
            .take(living.listed.into())
            .map(|aged| {
                let usable = aged.contact.addresses.iter().copied();
                let usable = usable.filter(|&address| dialable(address, seen.ip()));
                Contact::new(aged.contact.id, usable)
            })
            .collect();
        let unnamed = u64::from(living.all).saturating_sub(neighbours.len() as u64);
        let answer = Answer { at: now, neighbours, unnamed };
        if atlas.answers.len() < MAX_MAPPED {
            atlas.answers.insert(id, answer.clone());
        }
        chart.take(at, Asking::Answered, answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(n: u8) -> Contact {
        let address = SocketAddr::from(([127, 0, 0, 1], 7000 + u16::from(n)));
        Contact::new(ServentId([n; 32]), [address])
    }

    fn answer(neighbours: &[u8], unnamed: u64) -> Answer {
        let neighbours = neighbours.iter().map(|&n| contact(n)).collect();
        Answer { at: Time::ZERO, neighbours, unnamed }
    }

    #[test]
    fn links_count_by_the_word_of_either_and_hops_by_the_shortest_way() {
        let map = Map::new(ServentId([0; 32]), "me".into(), Vec::new());
        let mut chart = map.lock();
        let one = chart.place(contact(1), String::new(), Asking::NotDialled).unwrap();
        chart.link(0, one);
        chart.take(one, Asking::Answered, answer(&[0, 2, 3, 1], 4));
        chart.take(2, Asking::Answered, answer(&[1, 3], 0));
        chart.place(contact(9), String::new(), Asking::NotDialled);
        drop(chart);
        let report = map.report();
        let hops: Vec<_> = report.servents.iter().map(|servent| servent.hops).collect();
        assert_eq!(hops, [Some(0), Some(1), Some(2), Some(2), None]);
        let links: Vec<_> = report.links.iter().map(|link| (link.one, link.other)).collect();
        assert_eq!(links, [(0, 1), (1, 2), (1, 3), (2, 3)], "none to itself");
        assert_eq!(report.servents[1].unnamed, 4);
        assert_eq!(map.lock().queue, [1, 2, 3, 4], "each once, this servent never");
    }

    #[test]
    fn whoever_names_without_end_fills_the_map_and_no_more() {
        let map = Map::new(ServentId([0; 32]), String::new(), Vec::new());
        let mut chart = map.lock();
        let many = (0..2000u32).map(|n| {
            let mut id = [1; 32];
            id[..4].copy_from_slice(&n.to_be_bytes());
            Contact::new(ServentId(id), contact(1).addresses)
        });
        let answer = Answer { at: Time::ZERO, neighbours: many.collect(), unnamed: 0 };
        chart.take(0, Asking::Here, answer);
        assert_eq!(chart.servents.len(), MAX_MAPPED);
        assert_eq!(chart.servents[0].unnamed, 2001 - MAX_MAPPED as u64);
    }
}
