//! A servent whose downloads lie on a disk of their own that fills up soon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::servent::{Start, TestServent};

/// A servent whose downloads lie on a tmpfs with these `options`, and where that is; none
/// where no mounts of our own can be had.
#[allow(clippy::print_stderr, reason = "a test that is skipped says why")]
pub fn on_a_small_disk(options: &str) -> Option<(TestServent, PathBuf)> {
    let own_mounts = Command::new("unshare").args(["-m", "true"]).output();
    if !own_mounts.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no mounts of our own can be had");
        return None;
    }
    let home = tempfile::tempdir().expect("a test folder");
    let small = home.path().join("downloads");
    fs::create_dir(&small).expect("a test folder");
    let mount =
        format!("mount -t tmpfs -o {options} tmpfs {} && exec \"$0\" \"$@\"", small.display());
    let under = ["unshare", "-m", "sh", "-c", &mount].map(str::to_owned).to_vec();
    let servent = TestServent::start_in(home, Start { under, ..Start::default() });
    Some((servent, small))
}

/// Where `path` of the servent's own mounts is for us.
pub fn seen_by(servent: &TestServent, path: &Path) -> PathBuf {
    format!("/proc/{}/root{}", servent.pid(), path.display()).into()
}

/// Gives the disk at `small` of the servent other `options`.
pub fn change(servent: &TestServent, small: &Path, options: &str) {
    let remount = format!("remount,{options}");
    let done = Command::new("nsenter")
        .args(["-m", "-t", &servent.pid().to_string(), "mount", "-o", &remount])
        .arg(small)
        .status();
    assert!(done.expect("nsenter is there, as unshare was").success());
}
