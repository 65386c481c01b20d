//! The numbers of the overlay, each with its reason.

use std::time::Duration;

/// What one overlay is told at its start. [`Config::default`] is what the daemon runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Neighbours to look for. At degree 4, simulation left 4 to 5 % of servents cut
    /// off from somebody; at 6 and 8 none. Default 8.
    pub target_degree: usize,
    /// Neighbours that are never exceeded, links that a person asked for apart.
    /// Above the target, so that a newcomer's walk rarely ends at a closed door.
    /// Default 14.
    pub max_degree: usize,
    /// Links that people asked for, at most. Default 64.
    pub max_manual: usize,
    /// Keep exactly the links asked for: no walks, no refilling. Default false.
    pub manual: bool,
    /// Searches of others answered and passed on, a second, over all links, of which each
    /// link has the same share and what others leave of theirs. A query
    /// costs microseconds to relay, but its hits and copies cost the whole
    /// neighbourhood. Default 300 with a burst of 600.
    pub relayed_per_second: u64,
    /// New searches taken from one link a second; what comes above is answered as lost.
    /// Default 100 with a burst of 200.
    pub taken_per_link: u64,
    /// New searches sent over one link a second: half of what the other side takes, so
    /// that an honest relay is never shed. Default 50 with a burst of 200.
    pub sent_per_link: u64,
    /// Searches remembered in one generation; two are kept. A generation turns when it
    /// is full or [`GENERATION_AGE`] old. Default 65,536.
    pub generation: usize,
    /// Whether a later copy with more life is passed on. Always true but in the test
    /// that shows what is lost without it.
    pub improve: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            target_degree: 8,
            max_degree: 14,
            max_manual: 64,
            manual: false,
            relayed_per_second: 300,
            taken_per_link: 100,
            sent_per_link: 50,
            generation: 65_536,
            improve: true,
        }
    }
}

/// A search is remembered at least this long, unless its generation fills up first.
pub const GENERATION_AGE: Duration = Duration::from_secs(600);
/// What a burst of queries may have over the rate of a second.
pub const QUERY_BURST: u64 = 200;
/// Silence after which a neighbour is pinged.
pub const PING_AFTER: Duration = Duration::from_secs(30);
/// Between two pings on a link that is never silent: what a pong tells is that old at most.
pub const PING_EVERY: Duration = Duration::from_secs(60);
/// Silence after which a neighbour is dead: three missed pings.
pub const DEAD_AFTER: Duration = Duration::from_secs(90);
/// Between two shuffles on a link.
pub const SHUFFLE_EVERY: Duration = Duration::from_secs(60);
/// Age over which a contact is neither handed on nor listed: it may be dead.
pub const FRESH: Duration = Duration::from_secs(45);
/// How long a newcomer waits for its walks before it dials contacts itself.
pub const WALKS_TAKE: Duration = Duration::from_secs(1);
/// Between two looks for more neighbours while there are too few.
pub const REFILL_EVERY: Duration = Duration::from_secs(5);
/// Dials under way at once.
pub const MAX_DIALLING: usize = 16;
/// Dials a second that nobody typed, on average.
pub const DIAL_RATE: u64 = 1;
/// Dials at once that nobody typed: two full sets of neighbours.
pub const DIAL_BURST: u64 = 16;
/// Dials a minute to one /24 (IPv4) or /64 (IPv6) that ended in no accepted hello: a
/// crowd that is told lies about a third party must not become its flood.
pub const GROUP_DIALS: u64 = 4;
/// Between a servent's first neighbour and its question whether it can be dialled: whom its
/// join brings here within this time dials it anyway.
pub const REACH_SETTLE: Duration = Duration::from_secs(2);
/// How long it stays believed that a servent can be dialled, without anybody dialling it.
pub const REACH_EVERY: Duration = Duration::from_secs(30 * 60);
/// How soon a servent that nobody can dial asks again: its user may have opened a port.
pub const REACH_AGAIN: Duration = Duration::from_secs(5 * 60);
/// Between two questions to one neighbour; half of it is a strike.
pub const DIAL_BACK_EVERY: Duration = Duration::from_secs(60);
/// How long the answer may take: longer than any dial.
pub const DIAL_BACK_WAIT: Duration = Duration::from_secs(20);
/// Neighbours that are dialled back, a second: all of them within a few seconds.
pub const DIAL_BACK_RATE: u64 = 1;
/// See [`DIAL_BACK_RATE`].
pub const DIAL_BACK_BURST: u64 = 4;
/// Hits whose way is remembered, of each link: minutes of a busy relay, in less than 1 MiB.
pub const WAYS_PER_LINK: usize = 4096;
/// How long the way of a hit is remembered: as long as its search.
pub const WAY_AGE: Duration = GENERATION_AGE;
/// Calls that take the way of one author's hits for one search; a new search brings a new
/// way.
pub const CALLS_PER_WAY: u8 = 4;
/// Calls taken from one link, a second.
pub const CALL_RATE: u64 = 4;
/// See [`CALL_RATE`]: as many as one servent has waiting for their answers.
pub const CALL_BURST: u64 = 64;
/// Calls passed on, a second, over all links.
pub const CALL_RELAY_RATE: u64 = 32;
/// See [`CALL_RELAY_RATE`].
pub const CALL_RELAY_BURST: u64 = 128;
/// Dials a second that calls set off: each is on a stranger's word.
pub const CALL_DIAL_RATE: u64 = 1;
/// See [`CALL_DIAL_RATE`]: a file of a popular servent is asked for by a few at once.
pub const CALL_DIAL_BURST: u64 = 8;
/// Dials that calls have set off, under way at once.
pub const MAX_CALLING: usize = 8;
/// First wait before the same contact is dialled again; doubles each time.
pub const REDIAL_FIRST: Duration = Duration::from_secs(60);
/// First wait while there is no neighbour at all.
pub const REDIAL_ISOLATED: Duration = Duration::from_secs(5);
/// Longest wait before the same contact is dialled again.
pub const REDIAL_LONGEST: Duration = Duration::from_secs(3600);
/// Longest wait while there is no neighbour at all.
pub const REDIAL_ISOLATED_LONGEST: Duration = Duration::from_secs(60);
/// Two links to one servent count as dialled at the same time within this span.
pub const SIMULTANEOUS: Duration = Duration::from_secs(5);
/// Neighbours let go for newcomers, a second: more would let a crowd of newcomers
/// push all neighbours out.
pub const LET_GO_RATE: u64 = 1;
/// Seconds between two links that are split for newcomers: slower, since a neighbour names
/// whom it likes; links that are too many go by themselves.
pub const SPLIT_EVERY: u64 = 10;
/// Links that are split at once: half of a set of neighbours, for the walks of a rush.
pub const SPLIT_BURST: u64 = 4;
/// Newcomers that are introduced by walks, a second; others find neighbours by the
/// contacts in their welcome.
pub const INTRODUCTION_RATE: u64 = 4;
/// See [`INTRODUCTION_RATE`].
pub const INTRODUCTION_BURST: u64 = 32;
/// Walks passed on for one link, a second; a burst is two newcomers' worth.
pub const WALK_RATE: u64 = 4;
/// See [`WALK_RATE`].
pub const WALK_BURST: u64 = 64;
/// What a broken rule weighs; as much is forgotten each minute.
pub const STRIKE: u64 = 20;
/// What something weighs that is odd, and that an honest servent may do now and then.
pub const ODD: u64 = 1;
/// The weight over which a link closes: ten broken rules.
pub const MAX_STRIKES: u64 = 10 * STRIKE;
/// Shortest pause before an improvement is passed on.
pub const PAUSE_LEAST: Duration = Duration::from_millis(2);
/// Longest pause before an improvement is passed on.
pub const PAUSE_MOST: Duration = Duration::from_millis(100);
/// Longest that a ring waits for answers.
pub const RING_MOST: Duration = Duration::from_secs(10);
/// Hits passed back for one search over one link, and for one own search in all.
pub const HITS_PER_LINK: u32 = 512;
/// Bytes of hits passed back for one search over one link.
pub const HIT_BYTES_PER_LINK: u32 = 64 * 1024;
/// Hits taken for an own search.
pub const HITS_OWN: u32 = 2000;
/// Bytes of hits taken for an own search.
pub const HIT_BYTES_OWN: u32 = 1024 * 1024;
/// Hits of others' searches later than this are dropped.
pub const HITS_LATE: Duration = Duration::from_secs(60);
/// Own searches a second, and at once: more are delayed, never refused.
pub const OWN_RATE: u64 = 2;
/// See [`OWN_RATE`].
pub const OWN_BURST: u64 = 8;
/// Buckets of servents that we were told of (Bitcoin: 1,024, for a network of millions).
pub const NEW_BUCKETS: u16 = 256;
/// Buckets of servents that welcomed a dial of ours (Bitcoin: 256).
pub const TRIED_BUCKETS: u16 = 64;
/// Entries of one bucket (Bitcoin: 64).
pub const BUCKET: usize = 32;
/// New buckets that the word of one network reaches: a sixteenth of the table.
pub const BUCKETS_PER_SOURCE: u16 = 16;
/// Tried buckets that the servents of one network reach: a sixteenth of the table.
pub const BUCKETS_PER_GROUP: u16 = 4;
/// Entries of the address book that name an address of one /16 (IPv4) or /32 (IPv6):
/// enough for a local network, too few to fill a book with.
pub const MAX_PER_GROUP: usize = 64;
/// Contacts taken of one message: no honest one has more than a greeting has.
pub const MAX_TOLD: usize = 64;
/// Contacts taken from one link unasked, in a hundred seconds: a shuffle brings at most
/// eight a minute, and half of it is known already.
pub const TOLD_PER_100_SECS: u64 = 10;
/// Contacts taken from one link unasked, at once.
pub const TOLD_BURST: u64 = 64;
/// Silence after which somebody is struck from the address book: a month away is gone.
pub const HORIZON: Duration = Duration::from_secs(30 * 24 * 3600);
/// Silence after which somebody untried makes room for somebody new.
pub const NEW_STALE: Duration = Duration::from_secs(24 * 3600);
/// Dials in vain after which somebody who never answered is dropped.
pub const FAILURES_UNTRIED: u32 = 3;
/// Dials in vain after which somebody who did answer once is dropped, when they span
/// [`FAILING_SPAN`]: who is away for a few days comes back, and so does one side of a
/// partition for the other.
pub const FAILURES_TRIED: u32 = 10;
/// See [`FAILURES_TRIED`].
pub const FAILING_SPAN: Duration = Duration::from_secs(7 * 24 * 3600);
/// Holders of tried places that are waited for at once: each is probed in a turn.
pub const MAX_TESTS: usize = 8;
/// Between two probes of servents that were only told of: 30 an hour test a book of
/// hundreds in a day, and cost nobody anything.
pub const PROBE_EVERY: Duration = Duration::from_secs(120);
/// Neighbours that are dialled first at the next start, whatever the book was told in
/// between: the longest-lived of those that we dialled ourselves.
pub const ANCHORS: usize = 2;
/// Lost neighbours that are dialled again though there are others: two full sets.
pub const MAX_ABSENT: usize = 32;
/// First wait before a lost neighbour is dialled again; doubles each time. Long enough for
/// a restart, short enough for a partition to heal within a minute.
pub const RETURN_FIRST: Duration = Duration::from_secs(15);
/// How long a lost neighbour is dialled again; from then on it is a contact like others.
pub const RETURN_LAST: Duration = Duration::from_secs(3600);
/// Absence after which a neighbour that returns may come from another mesh: all that was
/// heard before is stale by then.
pub const ESTRANGED: Duration = FRESH;
/// Between two changes that one servent makes to even the mesh out, on average.
pub const REWIRE_EVERY: Duration = Duration::from_secs(300);
/// Links over the target that are kept: newcomers need somebody who has them to spare.
pub const SURPLUS: usize = 2;
/// Between two links that a servent with a surplus lets go: the mesh is even within
/// minutes of a rush, and hardly changes in a second.
pub const TRIM_EVERY: Duration = Duration::from_secs(20);
/// Longest that a link which is given up stays for what is under way on it: as long as a
/// search may last.
pub const PARTING: Duration = RING_MOST;
/// How long the same servent is named the same contacts: who asks again learns no more.
pub const NAMED_FOR: Duration = Duration::from_secs(600);
/// Searches of others that are traced at once; the oldest yields. With [`Trace::MAX_NODES`]
/// servents each, of 32 bytes, they hold 512 KiB, whatever strangers say.
///
/// [`Trace::MAX_NODES`]: crate::message::Trace::MAX_NODES
pub const TRACES: usize = 64;
/// Searches of others that are traced, a second: a trace makes a Done 250 times as large.
/// The others are passed on, and answered without one.
pub const TRACE_RATE: u64 = 4;
/// See [`TRACE_RATE`].
pub const TRACE_BURST: u64 = 32;
/// Servents that the trace of an own search tells of; the others are counted.
pub const TRACE_SERVENTS: usize = 1024;
/// Who draws a map is told the neighbours once in this time.
pub const SURVEY_EVERY: Duration = Duration::from_secs(600);
/// Mappers told, a second: one whole map of this mesh after the other, and no more.
pub const SURVEY_RATE: u64 = 1;
/// See [`SURVEY_RATE`].
pub const SURVEY_BURST: u64 = 64;
