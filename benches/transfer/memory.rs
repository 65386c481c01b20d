//! Memory that stays with the machine while it is measured.
//!
//! A virtual machine gives free memory back to its host within seconds, by blocks of 2 MiB, and
//! to write to such a block again takes eight times as long (0.3 against 2.3 GB/s where this
//! was found): tools would differ by who happened to get it. So a file takes a lot of it and
//! lets go of all but a page in each quarter of a MiB: what lies between is no whole block, and
//! is the first that the kernel gives out.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

const STEP: usize = 256 * 1024;
const PAGE: u64 = 4096;

/// Keeps what it has let go of until it is dropped.
pub(crate) struct Memory {
    _pages: File,
}

impl Memory {
    /// Takes so many bytes in `dir`, which lies in memory, and lets go of them.
    pub(crate) fn keep(dir: &Path, bytes: u64) -> Self {
        let mut pages = tempfile::tempfile_in(dir).unwrap();
        let (step, count) = (vec![0; STEP], bytes / STEP as u64);
        for _ in 0..count {
            pages.write_all(&step).unwrap();
        }
        for number in 0..count {
            let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&pages, mode, number * STEP as u64, STEP as u64 - PAGE).unwrap();
        }
        Self { _pages: pages }
    }
}
