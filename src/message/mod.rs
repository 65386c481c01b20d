//! What servents say to each other: plain data, one struct for each kind of frame.
//!
//! Three families, spoken one after the other and never mixed: the [`Greeting`] that
//! opens every connection, then either [`LinkMessage`]s between neighbours or
//! [`TransferMessage`]s about pieces. How they become bytes is the business of `wire`.
//!
//! Each struct that travels as a bincode body ends with `ext`, the only way to extend
//! it: pairs of a tag and bytes, skipped by those who do not know the tag.

pub mod browse;
pub mod presence;
pub mod reach;
pub mod search;
pub mod survey;
pub mod trace;
pub mod transfer;

pub use browse::{Browse, Entry, Listed, Listing};
pub use presence::{
    AgedContact, Bye, ByeReason, ForwardJoin, Hello, Ping, Pong, Purpose, Redirect, Shares,
    Shuffle, ShuffleReply, Welcome,
};
pub use reach::{CallMe, DialBack, DialOutcome, DialledBack};
pub use search::{Hit, HitBody, Query, QueryBody, QueryDone, QueryHit};
pub use survey::Living;
pub use trace::{ShortId, Trace, TraceError, TraceNode};
pub use transfer::{
    Cancel, Data, Describe, Have, Holding, Manifest, PieceRange, Queued, Refusal, Refused, Request,
    Sources, Thanks,
};

/// What later versions add to a body: (tag, bytes). Unknown tags are skipped.
pub type Extensions = Vec<(u16, Vec<u8>)>;

/// The protocol version that this servent speaks; another one is refused by name.
pub const VERSION: u16 = 1;

/// What opens a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Greeting {
    /// Who I am and what I want; both sides say it.
    Hello(Hello),
    /// The acceptor takes the connection.
    Welcome(Welcome),
    /// The acceptor has no room, but knows others.
    Redirect(Redirect),
}

/// What neighbours say on an overlay link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LinkMessage {
    /// Are you there?
    Ping(Ping),
    /// I am.
    Pong(Pong),
    /// I am going, or you are.
    Bye(Bye),
    /// A newcomer looks for neighbours.
    ForwardJoin(ForwardJoin),
    /// Some servents that I know; tell me some.
    Shuffle(Shuffle),
    /// Some in return.
    ShuffleReply(ShuffleReply),
    /// Who has such a file?
    Query(Query),
    /// I have.
    QueryHit(QueryHit),
    /// A copy of a query is answered in full.
    QueryDone(QueryDone),
    /// Can you dial me?
    DialBack(DialBack),
    /// I could, or could not.
    DialledBack(DialledBack),
    /// Dial me, since I cannot dial you.
    CallMe(CallMe),
}

/// What is said on a transfer connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TransferMessage {
    /// What is this file made of?
    Describe(Describe),
    /// Its size and the values of its pieces.
    Manifest(Manifest),
    /// Send me these pieces.
    Request(Request),
    /// Bytes of a piece.
    Data(Data),
    /// I no longer want these pieces.
    Cancel(Cancel),
    /// Your request waits for a slot.
    Queued(Queued),
    /// You will not have it, because.
    Refused(Refused),
    /// I have these pieces.
    Have(Have),
    /// These have some, too.
    Sources(Sources),
    /// I have it, also thanks to you.
    Thanks(Thanks),
    /// What do you share there?
    Browse(Browse),
    /// This, or nothing, because.
    Listing(Listing),
}
