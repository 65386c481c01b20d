//! What a tool took, round after round, as a table.

use std::time::Duration;

use crate::common::median;

/// One round of one tool.
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    /// Processor seconds of both ends.
    pub(crate) cpu: Option<f64>,
    /// Peak memory of the giver and of the taker, in KiB.
    pub(crate) memory: Option<(u64, u64)>,
}

impl Figures {
    pub(crate) fn of_time(time: Duration) -> Self {
        Self { seconds: time.as_secs_f64(), cpu: None, memory: None }
    }
}

/// All rounds of one tool.
pub(crate) struct Row {
    name: String,
    rounds: Vec<Figures>,
}

impl Row {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), rounds: Vec::new() }
    }

    /// What others are compared with, when it is a bound and no tool.
    pub(crate) fn of(name: &str, seconds: f64) -> Self {
        let rounds = vec![Figures { seconds, cpu: None, memory: None }];
        Self { name: name.to_owned(), rounds }
    }

    pub(crate) fn push(&mut self, figures: Figures) {
        self.rounds.push(figures);
    }

    /// The median of its ratio to `other`, round by round: more is faster.
    fn ratio(&self, other: &Self) -> f64 {
        let others = other.rounds.iter().cycle();
        let ratios = self.rounds.iter().zip(others).map(|(own, other)| other.seconds / own.seconds);
        median(ratios.collect())
    }
}

/// Prints the rows for `bytes` that were moved, with the ratio of their rate to that of `to`.
pub(crate) fn table(rows: &[Row], bytes: f64, to: &Row) {
    println!("{:<26} {:>7} {:>6} {:>9} {:>13}", "median", "MB/s", "ratio", "CPU s/GiB", "peak MiB");
    let gib = bytes / (1u64 << 30) as f64;
    for row in rows.iter().filter(|row| !row.rounds.is_empty()) {
        let rate = median(row.rounds.iter().map(|round| bytes / round.seconds / 1e6).collect());
        let cpu: Vec<f64> = row.rounds.iter().filter_map(|round| round.cpu).collect();
        let cpu = if cpu.is_empty() { "-".into() } else { format!("{:.2}", median(cpu) / gib) };
        let peaks = row.rounds.iter().filter_map(|round| round.memory);
        let peak = peaks.reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)));
        let mib = |kib: u64| format!("{:.1}", kib as f64 / 1024.0);
        let peak =
            peak.map_or("-".into(), |(giver, taker)| format!("{}/{}", mib(giver), mib(taker)));
        let (name, ratio) = (&row.name, row.ratio(to));
        println!("{name:<26} {rate:>7.0} {ratio:>6.2} {cpu:>9} {peak:>13}");
    }
    let spread = |row: &Row| {
        let ratios: Vec<String> = row
            .rounds
            .iter()
            .zip(to.rounds.iter().cycle())
            .map(|(own, other)| format!("{:.2}", other.seconds / own.seconds))
            .collect();
        ratios.join(" ")
    };
    for row in rows.iter().filter(|row| row.name == "part2part" && !row.rounds.is_empty()) {
        println!("ratios of part2part by round: {}", spread(row));
    }
}
