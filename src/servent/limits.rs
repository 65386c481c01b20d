//! The limits that people meet, each read from the constant that sets it.

use std::time::Duration;

use super::handle::Servent;
use super::report::{LimitReport, Unit};
use super::{
    accept_rate, admission, browsed, browsing, called, calling, crawl, dial, download_error,
    hearing, join, lan, tuning, wanted,
};
use crate::base::{Contact, MAX_TTL, file_link, piece};
use crate::message::{HitBody, QueryBody};
use crate::overlay::{self, config};
use crate::share::{MAX_EXCLUDED, agenda, hashing, ignoring, library, query};
use crate::store::{hosts_file, layout, name, part};
use crate::transfer::collection::text as collection_text;
use crate::transfer::{sources, telling, upload};

impl Servent {
    /// Every limit, by what it belongs to.
    #[must_use]
    pub fn limits(&self) -> Vec<LimitReport> {
        limits(self.0.ground.admission.places())
    }
}

/// The limits of a servent that takes in so many connections.
fn limits(places: usize) -> Vec<LimitReport> {
    let mesh = overlay::Config::default();
    let many = |name: &str, value: usize, then: &str| limit(name, wide(value), Unit::Number, then);
    let bytes = |name: &str, value: u64, then: &str| limit(name, value, Unit::Bytes, then);
    let rate = |name: &str, value: u64, then: &str| limit(name, value, Unit::PerSecond, then);
    let time =
        |name: &str, value: Duration, then: &str| limit(name, value.as_secs(), Unit::Seconds, then);
    let seconds = |name: &str, value: u64, then: &str| limit(name, value, Unit::Seconds, then);
    vec![
        many("neighbours looked for", mesh.target_degree, "the servent looks for no more"),
        many("neighbours", mesh.max_degree, "a newcomer is sent on to others"),
        many("links asked for by people", mesh.max_manual, "a join is sent on to others"),
        many("servents told of", book(config::NEW_BUCKETS), "the stalest goes, or it is left out"),
        many("servents that answered", book(config::TRIED_BUCKETS), "who answers still stays"),
        many("servents known of one /16", config::MAX_PER_GROUP, "who never said hello goes"),
        many("contacts in the host cache", hosts_file::MAX_CACHED, "the worst are left out"),
        time("silence of a servent known", config::HORIZON, "it is forgotten"),
        limit(
            "dials to a /24 without an answer",
            config::GROUP_DIALS,
            Unit::PerMinute,
            "others of it wait",
        ),
        rate("servents taken from the local network", lan::FIND_RATE, "the others wait"),
        many("servents found there", lan::MAX_FOUND, "others are left to find this one"),
        many("addresses of a contact", Contact::MAX_ADDRESSES, "the rest is left out"),
        time("silence of a neighbour", config::DEAD_AFTER, "its link is closed"),
        time("making a connection", dial::CONNECT_TIMEOUT, "the next address is tried"),
        time("waiting for a mesh in 'join'", join::JOIN_LIMIT, "it fails and says so"),
        many("connections taken in", places, "the one of least merit goes, or a newcomer"),
        many("transfers among them", places - admission::FOR_LINKS, "the same among them"),
        many("connections before their hello", admission::MAX_PENDING, "one of them is closed"),
        many("connections of one address", admission::PER_ADDRESS, "it is sent on to others"),
        many("connections of one /16", admission::PER_GROUP, "they are sent on to others"),
        rate("new connections of one address", accept_rate::ADDRESS_RATE, "more are closed"),
        rate("new connections of one /16", accept_rate::GROUP_RATE, "more are closed"),
        limit(
            "wrong network keys of an address",
            admission::WRONG_PROOFS.into(),
            Unit::PerMinute,
            "it is turned away for a while",
        ),
        time("waiting for a source that was called", calling::CALL_WAIT, "it counts as lost"),
        many("sources waited for after a call", calling::MAX_CALLS, "others wait their turn"),
        many("callers served", called::MAX_SERVED, "others are not dialled"),
        rate("callers dialled", config::CALL_DIAL_RATE, "the others ask again"),
        rate("calls passed on", config::CALL_RELAY_RATE, "the rest is dropped"),
        rate("neighbours dialled back", config::DIAL_BACK_RATE, "they ask somebody else"),
        time(
            "between two tests whether it can be dialled",
            config::REACH_EVERY,
            "it is tested again",
        ),
        many("hops of a search", MAX_TTL.into(), "nobody further is asked"),
        many("letters of a query", QueryBody::MAX_TEXT, "it is refused"),
        many("words of a query", QueryBody::MAX_WORDS, "it is refused"),
        many("fewest letters of *part*", query::MIN_PART, "it is refused"),
        rate("own searches", config::OWN_RATE, "more of them wait"),
        many("hits of a search", config::HITS_OWN as usize, "the rest is dropped, and said"),
        many("hits of one servent", HitBody::MAX_HITS, "it says that there are more"),
        many("standing searches", wanted::MAX_WANTED, "another is refused"),
        many("files kept of each", wanted::MAX_FINDS, "more are not told any more"),
        time("between two askings of it", wanted::ASK_EVERY, "it is asked again"),
        rate("searches of others passed on", mesh.relayed_per_second, "the rest counts as lost"),
        rate("searches taken from a neighbour", mesh.taken_per_link, "the rest counts as lost"),
        many("pages shown to one at once", browsed::PEER_BURST as usize, "it is told to wait"),
        seconds("then one in", browsed::PEER_EVERY, "the same"),
        many(
            "pages shown to a /16 at once",
            browsed::GROUP_BURST as usize,
            "they are told to wait",
        ),
        seconds("then one for it in", browsed::GROUP_EVERY, "the same"),
        many("pages shown to all at once", browsed::ALL_BURST as usize, "they are told to wait"),
        seconds("then one for all in", browsed::ALL_EVERY, "the same"),
        many("pages that one browse asks for", browsing::MAX_WALK, "it says how far it came"),
        many("servents that a map asks", crawl::MAX_ASKED, "it says so, and draws the rest"),
        time("making a map", crawl::CRAWL_TIME, "it says so, and draws what is known"),
        time("between two answers to one mapper", config::SURVEY_EVERY, "it is named nobody"),
        many("published paths", library::MAX_PATHS, "more are left out, and said"),
        many("paths taken out of published folders", MAX_EXCLUDED, "another is refused"),
        many("patterns of --ignore", ignoring::MAX_PATTERNS, "it does not start, and says so"),
        time(
            "between two looks at what is not told",
            agenda::RESCAN_UNTOLD,
            "it is looked at again",
        ),
        many("threads that hash", hashing::MAX_THREADS, "more are refused"),
        bytes("size of a file", piece::MAX_FILE, "it is left out, and said"),
        bytes("length of a file's name", wide(name::MAX_NAME), "it is cut"),
        many("files of a collection", collection_text::MAX_FILES, "a folder of more is none"),
        bytes("text of a collection", wide(collection_text::MAX_TEXT), "the same"),
        bytes("length of a path in it", wide(layout::MAX_PATH), "the file is left out, and said"),
        many("folders around a file of it", layout::MAX_DEPTH, "the same"),
        many("folders in it", layout::MAX_FOLDERS, "the same"),
        bytes("length of a link", wide(file_link::MAX_LINK), "it is refused"),
        many("peers of a link", file_link::MAX_LINK_PEERS, "it is refused"),
        many("downloads running", download_error::MAX_RUNNING, "another is refused"),
        many("sources known of a file", sources::MAX_KNOWN, "more are not remembered"),
        many("sources named by one other", sources::MAX_TOLD, "more are not remembered"),
        many("of these dialled at once", sources::MAX_TOLD_DIALS, "the others wait"),
        many("others named to one who takes", telling::MAX_NAMED, "the rest is not named"),
        many(
            "useless news of one source",
            hearing::MAX_SENSELESS as usize,
            "its connection is closed",
        ),
        many("sources open of a file", sources::MAX_OPEN, "the others are kept for later"),
        bytes("space left free", part::RESERVE, "a download waits for space"),
        many(
            "namesakes of a file",
            part::MAX_NAMESAKES as usize,
            "the download fails, and says so",
        ),
        many("uploads at a time", upload::SLOTS, "the others queue"),
        many("uploads to one address", upload::SLOTS_PER_GROUP, "the others queue"),
        many("uploads queued", upload::MAX_QUEUE, "the others are told to ask later"),
        bytes("a turn of an upload", upload::TURN, "the next one who waits has the slot"),
        time("silence of a receiver", upload::UNREAD, "its connection is closed"),
        rate("slowest cap on a rate", tuning::MIN_RATE, "a slower one is refused"),
        bytes("length of a servent's name", wide(tuning::MAX_NAME), "it is refused"),
    ]
}

fn limit(name: &str, value: u64, unit: Unit, then: &str) -> LimitReport {
    LimitReport { name: name.to_owned(), value, unit, then: then.to_owned() }
}

/// Places in the buckets of one table of the address book.
fn book(buckets: u16) -> usize {
    usize::from(buckets) * config::BUCKET
}

fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_a_name_of_its_own_and_says_what_happens_there() {
        let limits = limits(admission::MAX_INBOUND);
        for (i, limit) in limits.iter().enumerate() {
            assert!(limit.value > 0 && !limit.then.is_empty(), "{limit:?}");
            assert!(limits[i + 1..].iter().all(|other| other.name != limit.name), "{limit:?}");
        }
        assert!(limits.len() > 30);
    }
}
