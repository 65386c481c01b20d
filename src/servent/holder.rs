//! Who listens on a port of this machine already, as far as `/proc` tells.

use std::fs;

/// A line of `/proc/net/tcp` of a socket that listens has this state.
const LISTENING: &str = "0A";

/// The name and number of the process that listens on `port`; none when it is another
/// user's, or nobody's any more.
pub(super) fn holder(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        table.lines().find_map(|line| listening_inode(line, port)).map(str::to_owned)
    })?;
    let socket = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let open = fs::read_dir(process.path().join("fd")).ok()?;
        open.flatten()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == socket.as_str()))
            .then(|| {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                format!("{} (process {pid})", name.trim_end())
            })
    })
}

/// The inode of the socket that a line of `/proc/net/tcp` is about, if it listens on
/// `port`: `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode`.
fn listening_inode(line: &str, port: u16) -> Option<&str> {
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next()?;
    let state = fields.nth(1)?;
    let (_, number) = local.rsplit_once(':')?;
    let same = u16::from_str_radix(number, 16).is_ok_and(|number| number == port);
    (same && state == LISTENING).then(|| fields.nth(5)).flatten()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_of_this_process_is_found_by_its_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let holder = holder(port).unwrap();
        assert!(holder.contains(&format!("(process {})", std::process::id())), "{holder}");
    }

    #[test]
    fn nobody_listens_on_port_zero() {
        assert_eq!(holder(0), None);
    }
}
