//! part2part: a serverless file-sharing servent.
//!
//! A *servent* is server and client in one. Servents link to a few *neighbours* each; all
//! links together are the *mesh*, and there is no centre: every servent searches, answers,
//! passes on, publishes and downloads. A search floods the mesh hop by hop and comes to a
//! certain end; what is found is downloaded from everybody who has it, and every piece is
//! verified against the BLAKE3 hash that names the file.
//!
//! # Where to start reading
//!
//! - [`overlay`]: the engine, how a servent stays in the mesh and how it searches. Its page
//!   `overlay/search.rs` holds the flood and its proof of the end.
//! - [`wire`]: the protocol, complete enough to write another servent from it.
//! - [`transfer`]: how a file comes from many sources, of which some may lie.
//! - [`servent`]: the driver, which joins all this to sockets, clock and disk.
//!
//! # The rooms
//!
//! | room | what it holds |
//! |---|---|
//! | [`base`] | values that everybody speaks: ids, hops, pieces, time |
//! | [`message`] | what servents say to each other, one struct for each kind |
//! | [`overlay`] | the engine: membership, the flood, its routes; pure |
//! | [`transfer`] | the plans by which a file comes and goes; pure |
//! | [`identity`] | keys, TLS, the proof of a private network |
//! | [`wire`] | messages to bytes and back; the protocol |
//! | [`share`] | the library: what is published, and what of it matches |
//! | [`store`] | the disk: parts of downloads, names, small state, the share index |
//! | [`servent`] | the driver of engine and plans, on tokio |
//! | [`sim`] | the other driver: many engines on one virtual clock; pure |
//! | [`plot`] | pictures of what was simulated |
//! | [`command`] | one grammar for all fronts; replies as data, then text or JSON |
//! | [`prompt`] | a person at a terminal, or a script in a pipe |
//! | [`control`] | the socket by which `part2part ctl` speaks to a running servent |
//!
//! Beside them stand `program`, `args`, `config`, `chores`, `simulate` and `manual`: what
//! `main` calls, the program's command line, what becomes of it, what needs no servent,
//! `part2part sim`, and the texts made from the definitions.
//!
//! Imports point down only, and rooms on one line do not know each other; `share` alone
//! borrows from `store` what a disk is, and the index that it is kept in.
//! `tests/architecture.rs` holds every page to this.
//!
//! ```text
//! program, args, config ─► prompt, control ─► command ─► servent   simulate ─► plot ─► sim
//!                                                │          │       two drivers of one engine
//!       identity   wire   share   store          │          │       I/O, or bytes
//!            └───────┬───────┘                   │          │
//!         overlay · transfer ◄───────────────────┴──────────┘       pure: no clock, no chance
//!                    │
//!                 message ─► base
//! ```
//!
//! # The design of 2019, and where its parts live
//!
//! | the original's part | here |
//! |---|---|
//! | servent: every peer is both server and client | one program, one type `Servent` |
//! | *Client*: asks others to join, search, download | [`servent`]: dialling, fetching |
//! | *Server*: serves what others ask for | [`servent`]: listening, serving |
//! | *User interface* | [`command`], [`prompt`], [`control`] |
//! | *Network*: talks to peers over TCP | [`wire`], [`identity`], and the links of [`servent`] |
//! | *Search files*: breadth first, with a time-to-live | [`overlay`] |
//! | *Shared files*: what this device publishes | [`share`] |
//! | *Peer list*: known peers, begun from one | [`overlay`]; kept by [`store`] |
//!
//! # The way of a search
//!
//! 1. A line is read by a front, understood by [`command`], asked of the [`servent`].
//! 2. The driver tells the engine [`Input::Search`]; the engine says [`Output::Send`] for
//!    each neighbour, the link writers hand the frames to the sockets.
//! 3. Elsewhere `wire` reads the frame, the engine passes it on, and asks for
//!    [`Output::Match`], which the [`share::Library`] answers.
//! 4. Hits go back the way that the query came; each is an [`Event::Hit`], shown at once.
//! 5. Every copy of the query is answered by one Done. When the last is in, the searcher
//!    knows who was asked and that nothing more comes: [`Event::RingEnded`].
//!
//! [`Input::Search`]: overlay::Input::Search
//! [`Output::Send`]: overlay::Output::Send
//! [`Output::Match`]: overlay::Output::Match
//! [`Event::Hit`]: overlay::Event::Hit
//! [`Event::RingEnded`]: overlay::Event::RingEnded

pub mod args;
pub mod base;
pub mod chores;
pub mod command;
pub mod config;
pub mod control;
pub mod identity;
pub mod manual;
pub mod message;
pub mod overlay;
pub mod plot;
pub mod program;
pub mod prompt;
pub mod servent;
pub mod share;
pub mod sim;
pub mod simulate;
pub mod store;
pub mod transfer;
pub mod wire;
