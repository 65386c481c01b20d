//! The servent's command line.

fn main() {}
