//! The control socket, and a join at somebody else than was meant.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::thread;

use rustix::process::{Uid, geteuid};
use rustix::thread::set_thread_uid;

use crate::Bench;
use crate::common::fake_peer::Options;

/// Somebody else on this machine.
const NOBODY: u32 = 65_534;

/// Case 55; what clients of the same user can do is in the tests of the room itself.
#[tokio::test(flavor = "multi_thread")]
async fn another_user_of_the_machine_is_not_obeyed_even_where_the_folder_is_open() {
    if !geteuid().is_root() {
        eprintln!("skipped: it takes root to be somebody else");
        return;
    }
    let bench = Bench::start().await;
    let socket = bench.victim.state().join("ctl.sock");
    // As careless as its user can be.
    for open in [bench.victim.home(), &bench.victim.state(), &socket] {
        fs::set_permissions(open, Permissions::from_mode(0o777)).unwrap();
    }
    let ask = |uid: Option<Uid>| {
        let socket = socket.clone();
        let asked = thread::spawn(move || {
            if let Some(uid) = uid {
                set_thread_uid(uid).unwrap(); // of this thread alone
            }
            let mut stream = UnixStream::connect(socket).unwrap();
            let sent = stream.write_all(b"{\"line\": \"status\"}\n");
            let mut answer = String::new();
            let read = stream.read_to_string(&mut answer);
            (sent.is_ok() && read.is_ok(), answer)
        });
        asked.join().unwrap()
    };
    let (_, refused) = ask(Some(Uid::from_raw(NOBODY)));
    assert_eq!(refused, "", "nothing is said to another user");
    let (whole, obeyed) = ask(None);
    assert!(whole && obeyed.contains(&bench.victim.id().to_string()), "{obeyed}");
    bench.ends_well().await;
}

/// Case 54, as its user sees it; the handshakes are in the tests of `identity`.
#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_finds_another_servent_than_was_meant_names_both() {
    let bench = Bench::start().await;
    let (meant, there) = (Options::new(9).id(), bench.honest.id());
    let address = bench.honest.addr();
    let refused = bench.victim.ask(&["join", &format!("{meant}@{address}")]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let said = refused.err.replace('\n', " ");
    assert!(said.contains(&meant.short()) && said.contains(&there.short()), "{said}");
    bench.ends_well().await;
}
