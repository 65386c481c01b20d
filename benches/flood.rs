//! How many copies of queries a second one core takes: the engine alone, no sockets.
//!
//! One `Overlay` with eight links stands in the middle of a mesh. Of each search it
//! hears a first copy and six more, in random order, some of them improvements; it
//! passes the search on, looks it up among 10,000 names, and hears a Done for each copy
//! that it sent. Only the engine's work, its outputs and the look-ups are timed; what
//! the neighbours say is made up between the timed spans. Everything is played from one
//! seed, so rounds differ by the machine alone.
//!
//! `cargo bench --bench flood`

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures, and tells")]

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use part2part::base::{Contact, Guid, Hops, ServentId, Time, Ttl};
use part2part::message::{LinkMessage, Purpose, Query, QueryDone};
use part2part::overlay::{Answer, Config, Input, LinkId, Output, Overlay, Peer};
use rand::rngs::ChaCha12Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt, SeedableRng};

/// Neighbours: the degree that the daemon looks for.
const LINKS: u64 = 8;
/// Names that can be matched.
const NAMES: usize = 10_000;
/// One search in so many is for a name that is in the table.
const ONE_MATCHES_IN: usize = 8;
/// Copies of each search, the first one among them: simulation counts 6 to 7.
const COPIES: usize = 7;
/// The radius of each search: what reaches everybody among 10,000 servents.
const RADIUS: u8 = 6;
/// Searches under way at once.
const AT_ONCE: usize = 256;
/// Searches a round: some generations of what is remembered come and go.
const SEARCHES: usize = 200_000;
/// Rounds, of which the median counts; odd.
const ROUNDS: usize = 5;
/// Virtual time between two inputs: about the target's pace.
const PACE: Duration = Duration::from_micros(2);
/// What the engine should reach on one core, in copies a second.
const TARGET: f64 = 200_000.0;

fn main() -> ExitCode {
    // `cargo test --benches` runs this too, to see that it works.
    let measure = std::env::args().any(|argument| argument == "--bench");
    let (searches, rounds) = if measure { (SEARCHES, ROUNDS) } else { (2 * AT_ONCE, 1) };
    let mut rates = Vec::new();
    for round in 1..=rounds {
        let Counts { copies, inputs, outputs, matched, ended, busy } = Bench::new().run(searches);
        assert_eq!(copies, searches * COPIES, "every copy was heard");
        assert_eq!(ended, searches, "every search came to its end");
        assert!(matched > 0 && outputs > copies, "the engine did its work");
        let rate = copies as f64 / busy.as_secs_f64();
        let each = busy.as_nanos() as f64 / inputs as f64;
        println!(
            "round {round}: {rate:9.0} copies/s ({inputs} inputs, {outputs} outputs, \
             {matched} matches, {each:.0} ns an input)"
        );
        rates.push(rate);
    }
    rates.sort_by(f64::total_cmp);
    let median = rates.get(rates.len() / 2).copied().unwrap_or_default();
    println!("flood: {median:.0} copies/s a core, median of {rounds} (target {TARGET:.0})");
    if measure && median < TARGET { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What a round did, and how long the engine took for it.
#[derive(Default)]
struct Counts {
    copies: usize,
    inputs: usize,
    outputs: usize,
    matched: usize,
    ended: usize,
    busy: Duration,
}

/// One search that is under way.
struct Search {
    guid: Guid,
    body: Bytes,
    /// What the neighbours say on their own, and has not come yet.
    copies: Vec<Copy>,
    /// Copies that they have not answered yet.
    unanswered: Vec<LinkId>,
    /// Our Dones that are still missing: one for each copy that was heard.
    owed: usize,
}

/// A neighbour's copy that is on its way.
struct Copy {
    link: LinkId,
    ttl: Ttl,
    hops: Hops,
    /// Whether one of ours has come there meanwhile: each is the other's answer.
    crossed: bool,
}

struct Bench {
    overlay: Overlay,
    now: Time,
    rng: ChaCha12Rng,
    names: HashMap<Bytes, Answer>,
    bodies: Vec<Bytes>,
    open: BTreeMap<Guid, Search>,
    counts: Counts,
}

impl Bench {
    fn new() -> Self {
        let config = Config {
            manual: true,
            relayed_per_second: 1_000_000_000,
            taken_per_link: 1_000_000_000,
            sent_per_link: 1_000_000_000,
            ..Config::default()
        };
        let now = Time::from_micros(1_000_000_000);
        let mut overlay = Overlay::new(ServentId([0; 32]), config, [7; 32], now);
        let mut out = Vec::new();
        for link in 1..=LINKS {
            let seen = SocketAddr::from(([198, 18, 0, link as u8], 7272));
            let contact = Contact::new(ServentId([link as u8; 32]), [seen]);
            let peer = Peer { contact, name: String::new(), seen };
            let (link, purpose) = (LinkId(link), Purpose::Manual);
            overlay.handle(now, Input::Accepted { link, peer, purpose }, &mut out);
        }
        assert_eq!(overlay.neighbours().len() as u64, LINKS);
        let name = |n: usize| Bytes::from(format!("ferris the crab live in concert {n}"));
        let answer = |n: usize| Answer { count: 1, body: Bytes::from(vec![n as u8; 120]) };
        Self {
            overlay,
            now,
            rng: ChaCha12Rng::seed_from_u64(1),
            names: (0..NAMES).map(|n| (name(n), answer(n))).collect(),
            bodies: (0..NAMES * ONE_MATCHES_IN).map(name).collect(),
            open: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    fn run(mut self, searches: usize) -> Counts {
        let mut started = 0;
        let mut inputs = Vec::new();
        let mut said = Vec::new();
        loop {
            while self.open.len() < AT_ONCE && started < searches {
                let search = self.invent();
                self.open.insert(search.guid, search);
                started += 1;
            }
            if self.open.is_empty() {
                return self.counts;
            }
            self.neighbours_speak(&mut inputs);
            if inputs.is_empty() {
                // All wait for pauses to end.
                self.now = self.now.max(self.overlay.next_deadline().expect("a pause"));
                inputs.push(Input::Wake);
            }
            self.counts.inputs += inputs.len();
            self.work(&mut inputs, &mut said);
            self.neighbours_hear(&mut said);
        }
    }

    /// The timed part: the engine takes the inputs, and its driver acts on each output.
    fn work(&mut self, inputs: &mut Vec<Input>, said: &mut Vec<(LinkId, LinkMessage)>) {
        let mut out = Vec::new();
        let mut found = Vec::new();
        let begin = Instant::now();
        for input in inputs.drain(..) {
            found.push(input);
            while let Some(input) = found.pop() {
                self.now = self.now + PACE;
                self.overlay.handle(self.now, input, &mut out);
                self.counts.outputs += out.len();
                for output in out.drain(..) {
                    match output {
                        Output::Match { guid, body } => {
                            let answers = Vec::from_iter(self.names.get(&body).cloned());
                            self.counts.matched += answers.len();
                            found.push(Input::Matched { guid, answers });
                        }
                        Output::Send { link, message } => said.push((link, message)),
                        _ => {}
                    }
                }
            }
        }
        self.counts.busy += begin.elapsed();
    }

    /// A search as it will come by, a copy from each of some links.
    fn invent(&mut self) -> Search {
        let mut guid = Guid([0; 16]);
        self.rng.fill_bytes(&mut guid.0);
        let body = self.bodies.choose(&mut self.rng).cloned().expect("some names");
        let nearest = self.rng.random_range(2..=3);
        let mut links: Vec<u64> = (1..=LINKS).collect();
        links.shuffle(&mut self.rng);
        let mut copy = |link| {
            let hops = nearest + u8::from(self.rng.random_ratio(2, 3));
            Copy { link: LinkId(link), ttl: Ttl(RADIUS - hops), hops: Hops(hops), crossed: false }
        };
        let copies = links.into_iter().take(COPIES).map(&mut copy).collect();
        Search { guid, body, copies, unanswered: Vec::new(), owed: 0 }
    }

    /// Of each search one more thing is heard, in random order.
    fn neighbours_speak(&mut self, inputs: &mut Vec<Input>) {
        for search in self.open.values_mut() {
            let Search { guid, ref body, .. } = *search;
            let left = search.copies.len();
            let waiting = left + search.unanswered.len();
            if waiting == 0 {
                continue;
            }
            let pick = self.rng.random_range(0..waiting);
            // What a neighbour answers comes behind the copy that it sent before.
            let answers = pick.checked_sub(left).and_then(|at| search.unanswered.get(at));
            let first = answers.map_or(left.checked_sub(1), |answers| {
                search.copies.iter().position(|copy| copy.link == *answers)
            });
            let (link, message) = match first {
                Some(at) => {
                    let Copy { link, ttl, hops, crossed } = search.copies.swap_remove(at);
                    search.owed += usize::from(!crossed);
                    self.counts.copies += 1;
                    let body = body.clone();
                    (link, LinkMessage::Query(Query { guid, ttl, hops, seen: Ttl(0), body }))
                }
                None => {
                    let link = search.unanswered.swap_remove(pick - left);
                    let done = QueryDone { guid, asked: 1, lost: 0, ext: Vec::new() };
                    (link, LinkMessage::QueryDone(done))
                }
            };
            inputs.push(Input::Received { link, message });
        }
        inputs.shuffle(&mut self.rng);
    }

    /// What was sent to the neighbours; a search whose every copy is answered is over.
    fn neighbours_hear(&mut self, said: &mut Vec<(LinkId, LinkMessage)>) {
        for (link, message) in said.drain(..) {
            match message {
                LinkMessage::Query(query) => {
                    let search = self.open.get_mut(&query.guid).expect("an open search");
                    let crosses = |copy: &&mut Copy| copy.link == link && !copy.crossed;
                    match search.copies.iter_mut().find(crosses) {
                        Some(copy) => copy.crossed = true,
                        None => search.unanswered.push(link),
                    }
                }
                LinkMessage::QueryDone(done) => {
                    let search = self.open.get_mut(&done.guid).expect("an open search");
                    assert_eq!(done.lost, 0, "nothing is shed");
                    search.owed -= 1;
                }
                _ => {}
            }
        }
        let before = self.open.len();
        self.open.retain(|_, search| {
            !search.copies.is_empty() || !search.unanswered.is_empty() || search.owed > 0
        });
        self.counts.ended += before - self.open.len();
    }
}
