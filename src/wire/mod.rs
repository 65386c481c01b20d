//! Bytes to messages and back: the protocol, `part2part/1`.
//!
//! This page is the protocol. Whoever follows it has a servent that talks to ours; the
//! frames in `tests/golden/` were written by hand from it.
//!
//! # A connection
//!
//! 1. **TCP**, to any address of the servent.
//! 2. **TLS 1.3**, and nothing older. ALPN `part2part/1`. Both sides show a raw public
//!    key (RFC 7250): an Ed25519 key as a SubjectPublicKeyInfo of 44 bytes, which are
//!    `30 2a 30 05 06 03 2b 65 70 03 21 00` and the 32 bytes of the key. That key is the
//!    servent's id; its text is RFC 4648 base32, lower case, without padding. The
//!    signature is `ed25519`. No server name, no tickets, no resumption, no early data.
//! 3. **The proof of the network.** With `X` the 32 bytes that TLS exports (RFC 8446,
//!    7.5) under the label `EXPORTER-part2part-net` without a context, and `K` the
//!    network key, `blake3::derive_key("part2part 1 network key", contents)`, where
//!    `contents` are those of the key file less the line ends (bytes 0a and 0d) at its
//!    end, and nothing for the open mesh: the dialler sends the 32 bytes
//!    `blake3::keyed_hash(K, 00 || X)`; the acceptor compares, and closes without a word
//!    if they differ; else it answers with `blake3::keyed_hash(K, 01 || X)`, which the
//!    dialler compares. Here too nothing else has been said.
//! 4. **The greeting.** Both send a *hello*, without waiting for the other's. The
//!    acceptor then sends a *welcome*, or a *redirect* and closes. From accept to hello
//!    there are 5 seconds, TLS included. Until then nothing but a hello is accepted, at
//!    most 1 KiB in all.
//! 5. **What the dialler's hello asked for**: an overlay link, on which both send link
//!    frames; or a transfer connection, on which both send transfer frames.
//!
//! # A frame
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `u32` big-endian: length of the body, which follows these six bytes |
//! | 1 | kind |
//! | 1 | flags: bit 0 (value 1): who does not know the kind passes the frame over; the other bits are sent as 0 and ignored |
//!
//! A length over the limit of the kind closes the connection, and so does a known kind
//! without a body, in the wrong place, with bytes left over behind its body, or a body
//! that breaks a rule below. An unknown kind is passed over if flag bit 0 is set and its
//! body has at most 64 KiB, eight times in a minute; otherwise it closes the connection.
//! In a greeting nothing is passed over. Kinds are sent with flags 0, but for dial back,
//! dialled back, call me, have, sources, thanks, browse and listing, which have flag bit 0
//! set. A frame that has begun must be complete in 30 seconds.
//!
//! # Kinds
//!
//! | number | kind | where | body limit in bytes |
//! |---|---|---|---|
//! | `01` | hello | greeting | 1,018 (1 KiB with the header) |
//! | `02` | welcome | greeting | 8,192 |
//! | `03` | redirect | greeting | 8,192 |
//! | `10` | ping | link | 256 |
//! | `11` | pong | link | 256 |
//! | `12` | bye | link | 8,192 |
//! | `13` | forward join | link | 8,192 |
//! | `14` | *neighbour: reserved* | link | |
//! | `15` | shuffle | link | 8,192 |
//! | `16` | shuffle reply | link | 8,192 |
//! | `17` | dial back | link | 256 |
//! | `18` | dialled back | link | 256 |
//! | `20` | query | link | 512 |
//! | `21` | query hit | link | 32,768 |
//! | `22` | query done | link | 8,192 |
//! | `23` | call me | link | 512 |
//! | `30` | describe | transfer | 256 |
//! | `31` | manifest | transfer | 33,792 |
//! | `32` | request | transfer | 2,048 |
//! | `33` | data | transfer | 262,184 (256 KiB and 40) |
//! | `34` | cancel | transfer | 2,048 |
//! | `35` | queued | transfer | 256 |
//! | `36` | refused | transfer | 256 |
//! | `37` | have | transfer | 33,792 |
//! | `38` | sources | transfer | 8,192 |
//! | `39` | thanks | transfer | 256 |
//! | `3a` | browse | transfer | 8,192 |
//! | `3b` | listing | transfer | 40,960 |
//!
//! Numbers are hexadecimal. A reserved kind is unknown to version 1 servents; those who
//! will send it set flag bit 0. `00` will never be a kind.
//!
//! # Values
//!
//! Bodies, but for the raw bytes named below, are the *standard* encoding of bincode 2:
//!
//! - `int`: an unsigned integer below 251 (`fb`) is one byte. Else a byte that says how
//!   wide it is, then the number, **little-endian**: `fb` and 2 bytes, `fc` and 4, `fd`
//!   and 8. Wider than needed is accepted; wider than the field is not. `u16`, `u32` and
//!   `u64` below are such ints that must fit 16, 32 and 64 bits.
//! - `u8`: one byte as it is. `bool`: one byte, 00 or 01.
//! - `[n]`: `n` bytes as they are, without a length.
//! - `text`: an int, the length in bytes, then UTF-8.
//! - `list of T`: an int, how many, then that many T. `bytes` is a list of `u8`.
//! - `option of T`: 00; or 01 and a T.
//! - `one of`: an int, the number of the variant, then its fields.
//! - `address`: 00, four bytes, the port as `u16`; or 01, sixteen bytes, the port as
//!   `u16`. IPv4 in IPv6 (`::ffff:a.b.c.d`) is read as the IPv4 address.
//! - `contact`: servent id `[32]`, then a list of at most 8 addresses, best first.
//! - `aged contact`: a contact, then its age as `u32`: seconds since the giver had a
//!   byte from it, or the age that the giver was told and the time since.
//! - `ext`: a list of pairs of a tag `u16` and `bytes`. It ends every body, is empty in
//!   version 1 (one byte 00), and holds what later versions add. Unknown tags are passed
//!   over. It is the only way to extend a body.
//!
//! # Greeting
//!
//! **hello**: version `u16` (1; another one closes the connection); features `u64`
//! (bits; bit 0, value 1, of a probe asks for the neighbours; the others are sent as 0 and
//! ignored); purpose, one of: 0 join (a newcomer wants its first neighbour), 1
//! refill, with isolated `bool` (a member wants one more; an isolated one has none), 2
//! manual (a person asked for this link), 3 probe (is this address alive? ends after the
//! welcome), 4 transfer, with token `option of [16]` (of the *call me* that this dial
//! answers; else none); listen port `u16` (0: none); list of at most 8 own
//! addresses; agent `text` and name `text`, at most 64 bytes each; ext. The acceptor
//! sends a hello as well; its purpose means nothing.
//!
//! **welcome**: your address as seen here, `address`; list of at most 16 aged contacts;
//! ext, of which tag 1 may stand in the answer to a probe that asks for the neighbours: how
//! many of the contacts, the first ones, are neighbours (1 byte), and how many neighbours
//! there are without the one who asks (2 bytes, little-endian).
//!
//! **redirect**: list of at most 16 aged contacts; ext. The acceptor closes afterwards.
//!
//! # Links
//!
//! **ping**, **pong**: nonce `u64`; ext, of which tag 1 says what the sender shares, in 12
//! bytes: how many files (4 bytes) and how many bytes in them (8), little-endian. A pong
//! returns the nonce of its ping.
//!
//! **bye**: reason, one of: 0 leaving, 1 full, 2 replaced by another link to the same
//! servent, 3 the receiver misbehaved, 4 the receiver is too slow; list of at most 16
//! aged contacts (with 1); ext. The sender closes afterwards.
//!
//! **forward join**: the newcomer, an aged contact; walk `u8`, the steps left (more than
//! 6 are read as 6); ext.
//!
//! **shuffle**, **shuffle reply**: list of at most 8 aged contacts; ext.
//!
//! **query**: raw guid `[16]`, a raw byte whose lower four bits are the ttl and whose upper
//! four say *seen*: the ttl of the last copy of this query that had come from the receiver
//! when this one was sent, 0 if none had; raw hops `u8`, then the opaque body, which
//! relays pass on bit for bit: text of 2 to 256 bytes and at most 12 words; ext, of which
//! tag 1 (the byte 01) asks for a trace.
//!
//! **query hit**: raw guid `[16]`, raw ttl `u8` (always 0), raw hops `u8`, raw responder
//! `[32]`, raw count `u8` (1 to 64), then the opaque body, which relays pass on bit for
//! bit: list of at most 8 addresses of the responder; its name `text`, at most 64 bytes;
//! unreachable `bool`; list of 1 to 64 hits (as many as the count says), each with
//! content id `[32]`, size `u64`, name `text` (1 to 255 bytes: a claim, in which
//! a receiver maps what could be a path or steer a terminal), ext, of which tag 1 is the
//! folder that it lies in (1 to 160 bytes of UTF-8 without a NUL, `/` between its parts, only
//! what is below a published folder), tag 2 when it was last modified (8 bytes,
//! little-endian: seconds since 1970), and tag 3 says that it is a collection: that its content
//! is what b3sum prints for the files of a folder, sorted by path, and how many these are and
//! how many bytes are in them (8 bytes each, little-endian); more `bool` (there are more that match); ext, of which
//! tag 1 (the byte 01) says that the responder stopped looking before it had looked at all.
//!
//! Each copy on a link has a larger ttl than the one before it. Every copy is answered, by a
//! *query done* or by a copy that crossed it: copies of one query cross where either was sent
//! when all before the other had come, and nothing more of them. So a copy with *seen* S
//! answers the next one after S that the receiver has sent, if that one waits for an answer
//! and was sent after all that the receiver had from this side; and neither gets a *done*.
//!
//! **query done**: guid `[16]`; asked `u32`; lost `u32`; ext, of which tag 1 is the trace,
//! if the query asked for one and this Done answers a copy that engaged its sender: 1 to
//! 256 servents, each behind the one that sent it its copy, the sender of the Done first.
//! Each has 31 bytes, numbers little-endian: how many hops below the sender (0 to 63); the
//! first 5 bytes of its id, or zeros for who is not to be named; flags (bit 0: it was asked now, for the first time;
//! bit 1: it says nothing of itself, its parent speaks for it); 2 bytes each: its files that
//! match, the copies that it sent, those of them that found the query known, what was lost
//! with it; 4 bytes each: servents asked behind it of which nothing is told; microseconds
//! from when the query came to its parent until its copy left there, and until its Done
//! came there; microseconds from when its copy came until its Done left. The first servent
//! has 0 in the two spans of the parent, who fills them in. Those flagged as asked and those
//! of which nothing is told are as many as the Done's asked. A number that has no room is
//! the largest that has.
//!
//! **dial back**: port `u16`; ext. Asks the neighbour to dial the sender at this port of the
//! address that the neighbour sees it come from, with purpose 3, and to hang up after the
//! welcome. A neighbour is asked once a minute at most.
//!
//! **dialled back**: outcome, one of: 0 reached, 1 not reached, 2 not tried; ext. It answers
//! the one dial back that waits on this link.
//!
//! **call me**: guid `[16]` and responder `[32]` of a hit that came to the asker; the asker,
//! a contact; token `[16]`, random; ext. It goes back the way that the hit came: whoever
//! passed the hit on over this link passes it on over the link that the hit came by; a link
//! over which that hit was not sent may not bring it. The responder dials the asker with
//! purpose 4 and the token; the asker welcomes it if the token is one that it sent to this
//! responder at most 15 seconds ago and that has not been shown before, and from then on
//! asks for pieces, as a dialler else does. The servents on the way see who asks; nobody
//! else does, and the hit's author learns it only then.
//!
//! # Transfer
//!
//! **describe**: content id `[32]`; part `u32`; ext.
//!
//! **manifest**: content id `[32]`; size `u64`; part `u32`; list of at most 1,024 piece
//! values `[32]`; ext.
//!
//! **request**, **cancel**: content id `[32]`; list of at most 64 ranges, each first `u32`
//! and count `u32` (at least 1, and together below 2^32); ext. A cancel without a range is
//! for all that was asked of the file.
//!
//! **data**: no bincode at all. Raw content id `[32]`, raw piece and raw offset in the
//! piece, each a `u32` **big-endian**, then 1 to 262,144 bytes, the last of them within
//! the first 1 MiB of the piece.
//!
//! **queued**: content id `[32]`; position `u32`, 1 is next; ext.
//!
//! **refused**: content id `[32]`; reason, one of: 0 not here, 1 withdrawn, 2 changed, 3
//! unreadable, 4 busy, 5 bad request; ext.
//!
//! **have**: content id `[32]`; count `u32`, how many pieces the file has (at most 262,144);
//! holding, one of: 0 here, 1 given; first `u32`; bits `bytes`, a bit for each piece from first
//! on, the lowest bit of each byte first, none set for a piece at or behind the count; ext. A
//! giver says it to who has asked on this connection for a list or pieces of the file; each
//! adds to those before. *Here*: the giver downloads the file itself, and has these pieces,
//! verified; who never says it has all. It is said before the manifest, or before the answer
//! to the first request, and again whenever more have come. Who asks for another piece gets
//! *refused, not here*, and none of what that request asked for; the connection goes on. Such
//! a giver answers a describe once it has the last piece, which binds the size. *Given*: the
//! giver has all, and these pieces were asked for by others; it gives them all the same.
//!
//! **sources**: content id `[32]`; list of 1 to 16 contacts; ext. A giver says it to who takes
//! pieces of the file: those whom it takes them from, and those who take them from it and can
//! be dialled, each where it has seen them itself. It names nobody twice on a connection, and
//! at most 64. Each is a claim; what may be dialled on the word of another is for the receiver
//! to judge.
//!
//! **thanks**: content id `[32]`; ext. Who got pieces of the file says it to who gave them,
//! once it has all of them verified and in place; over the connection on which they came,
//! or a new one. It needs no answer, and means nothing to who gave none.
//!
//! **browse**: folder `text` (at most 2,048 bytes, `/` between its parts; empty: where the
//! library begins); cursor `bytes` (at most 4,224; none: the first page); ext. Asks for a page
//! of what lies in that folder. Of what is published only what is below the published folders
//! is told, as if they all were one.
//!
//! **listing**: one of: 0 a page, with a list of at most 100 entries, each one of: 0 a folder
//! (name `text` of 1 to 255 bytes; ext), 1 a file (as a hit of a query hit); and a cursor
//! `option of bytes` (1 to 4,224), with which the next page is asked, none after the last
//! page; 1 closed: nobody may look; 2 later, after so many seconds `u32`; 3 no such folder; 4
//! the cursor is none that this servent gave; then ext. Each browse is answered by one listing.
//! A page names nothing twice, may hold nothing at all, and its cursor never comes again.
//!
//! # This room
//!
//! [`Codec`] is for tokio-util's `Framed`; `header` judges the first six bytes, `family`
//! knows which kinds belong together and what of them is raw, `body` is the one place
//! that configures bincode, `check` keeps the rules above. What this room leaves to
//! others: clocks (and so the counting of what was passed over), TLS and the proof.

mod body;
mod check;
mod codec;
mod error;
mod family;
mod header;

pub use body::{decode_hit_body, decode_query_body, encode_hit_body, encode_query_body};
pub use codec::{Codec, Received};
pub use error::{DecodeError, EncodeError, Fault};
pub use family::{DATA_PREFIX_LEN, DataHead, Family, data_prefix};
pub use header::{
    DATA_RAW_LEN, HEADER_LEN, Header, Kind, MAX_BROWSE_BODY, MAX_CALL_BODY, MAX_CONTACTS_BODY,
    MAX_DATA_BODY, MAX_DONE_BODY, MAX_HAVE_BODY, MAX_HELLO, MAX_HIT_BODY, MAX_LISTING_BODY,
    MAX_MANIFEST_BODY, MAX_QUERY_BODY, MAX_RANGES_BODY, MAX_SKIPPED_BODY, MAX_SKIPPED_PER_MINUTE,
    MAX_SMALL_BODY, MAY_SKIP,
};
