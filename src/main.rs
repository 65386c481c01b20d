//! The servent's executable; the program itself is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    part2part::program::run()
}
