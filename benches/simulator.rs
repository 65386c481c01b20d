//! How large a mesh the simulator holds, and how fast a search goes through it.
//!
//! Real engines on one virtual clock, linked at random with degree 8: the time to build
//! the mesh, the time of one search that asks everybody, and the memory of it all.
//!
//! `cargo bench --bench simulator [SERVENTS]`

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures, and tells")]

use std::time::{Duration, Instant};

use part2part::overlay::Config;
use part2part::sim::{Delay, Network, topology};
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

fn main() {
    let measure = std::env::args().any(|argument| argument == "--bench");
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let servents: usize = asked.unwrap_or(if measure { 100_000 } else { 1000 });
    let begin = Instant::now();
    let config = Config { manual: true, max_manual: 1000, ..Config::default() };
    let mut net = Network::new(1, config, Delay::Exponential, Duration::from_millis(20));
    for _ in 0..servents {
        net.add("x");
    }
    println!("added    {:.2} s, {}", begin.elapsed().as_secs_f64(), memory());
    let links = topology::random(servents, 8, &mut ChaCha12Rng::seed_from_u64(1));
    net.link_all(&links);
    println!("dialled  {:.2} s, {}", begin.elapsed().as_secs_f64(), memory());
    net.run_for(Duration::from_secs(2));
    println!("built    {:.2} s, {}", begin.elapsed().as_secs_f64(), memory());
    for rings in [vec![8], vec![2, 4, 8]] {
        let begin = Instant::now();
        let guid = net.search(0, "nobody has it", rings.clone());
        assert!(net.run_until_end(guid, Duration::from_secs(60)));
        let took = begin.elapsed().as_secs_f64();
        let report = net.report(guid);
        println!(
            "search {rings:?}: {took:.2} s, {:?}, {} copies ({:.2} each), {}",
            report.end(),
            report.copies,
            report.copies as f64 / servents as f64,
            memory()
        );
    }
}

/// The most memory that this process has had.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|l| l.starts_with("VmHWM")).map(str::to_owned).collect()
}
