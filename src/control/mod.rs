//! The Unix socket by which `part2part ctl` speaks to a running servent.
//!
//! A client connects to `STATE/ctl.sock`, sends one [`Order`](crate::command::Order) as
//! one line of JSON, `{"line": "status", "cwd": "/home/ann", "scripted": true}`, and reads
//! one [`Reply`](crate::command::Reply) a line, the last of which is
//! `{"reply": "exit", "code": 0}`. Closing its end earlier interrupts the command. One
//! connection carries one command; an attached prompt ([`Remote`]) keeps one open with
//! `news follow`, and opens another for each of its commands.
//!
//! Only the user who runs the servent is answered: the folder is 0700, the socket 0600,
//! and the system is asked who is calling. There is no TCP port, so no web page can ask.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

mod client;
mod remote;
mod server;

pub use client::{AskError, ask};
pub use remote::Remote;
pub use server::{MAX_CLIENTS, MAX_REQUEST, REQUEST_TIMEOUT, WRITE_TIMEOUT, serve};

/// The socket's name in the state folder.
const SOCKET: &str = "ctl.sock";
/// Longest path that a socket address holds, in bytes.
const MAX_SOCKET_PATH: usize = 107;

/// Why the control socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The state folder is not there, or not ours.
    #[error("cannot make the state folder {} private: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something that is no socket stands where it should be.
    #[error("{} is not a socket; move it away", .0.display())]
    Taken(PathBuf),
    /// The system refused.
    #[error("cannot open the control socket {}: {source}", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The open control socket; it is removed when dropped.
#[derive(Debug)]
pub struct Listener {
    socket: tokio::net::UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Opens the socket of the state folder `state`, which becomes private (0700).
    ///
    /// The caller holds the lock of the state, so a socket that is there already is one
    /// that a killed servent left, and is replaced.
    ///
    /// # Errors
    /// [`ListenError`]: the folder or the socket cannot be had.
    pub fn bind(state: &Path) -> Result<Self, ListenError> {
        let folder = |source| ListenError::Folder { folder: state.to_owned(), source };
        let mode = fs::metadata(state).map_err(folder)?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(state, fs::Permissions::from_mode(0o700)).map_err(folder)?;
        }
        let path = state.join(SOCKET);
        match fs::symlink_metadata(&path) {
            Ok(found) if !found.file_type().is_socket() => return Err(ListenError::Taken(path)),
            Ok(_) => {
                let _ = fs::remove_file(&path);
            }
            Err(_) => {}
        }
        let refused = |source| ListenError::Bind { path: path.clone(), source };
        let (near, _folder) = within_reach(state).map_err(refused)?;
        let socket = tokio::net::UnixListener::bind(&near).map_err(refused)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(refused)?;
        Ok(Self { socket, path })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The socket's path as a socket address can hold it: a long one goes by way of the opened
/// folder, which must stay open as long as the path is used.
fn within_reach(state: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let path = state.join(SOCKET);
    if path.as_os_str().as_bytes().len() <= MAX_SOCKET_PATH {
        return Ok((path, None));
    }
    // O_PATH: neither reading nor listing is needed.
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let folder = OpenOptions::new().read(true).custom_flags(flags).open(state)?;
    let near = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    Ok((near.into(), Some(folder)))
}

#[cfg(test)]
mod tests;
