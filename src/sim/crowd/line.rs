//! How bytes go over a servent's line: out in turns, in as they come.
//!
//! A fluid that is shared evenly among connections, as TCP comes near to, in steps: who
//! sends takes its connections in turn, a frame of each, and who takes gets the frames in
//! the order in which they arrive. A connection has no more on its way than fills it, so a
//! taker on a slow line holds up nobody else. Two events a frame, whoever else sends, make
//! it as fast as it is simple; to solve for the shares of thousands of flows at each of
//! their beginnings and ends would not be.
//!
//! Always true: a line carries one frame at a time each way; of the connections that have
//! something to send none is passed over.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::Time;
use crate::message::Data;

/// Shortest frame of a slow line, as the daemon cuts them.
const MIN_FRAME: u64 = 16 * 1024;
/// Frames of a line are no longer than what it carries in a second over this.
const FRAMES_A_SECOND: u64 = 10;
/// What a connection may have on its way beyond what fills it: the buffers of both ends.
const BUFFERS: u64 = 1024 * 1024;

/// How long so many bytes take at this rate, in whole microseconds, at least one.
pub(super) fn span(bytes: u64, rate: u64) -> Duration {
    let micros = (u128::from(bytes) * 1_000_000).div_ceil(u128::from(rate.max(1)));
    Duration::from_micros(u64::try_from(micros.max(1)).unwrap_or(u64::MAX))
}

/// A servent's line. Connections out are known by who takes.
#[derive(Debug)]
pub(super) struct Line {
    up: u64,
    down: u64,
    /// Who has a frame to come, in turn.
    turns: VecDeque<u32>,
    /// Whether a frame is on its way out.
    sending: bool,
    /// Until when the way in is taken by what has arrived.
    taken: Time,
}

impl Line {
    /// A line that carries so many bytes a second out and in.
    pub(super) fn new(up: u64, down: u64) -> Self {
        Self { up, down, turns: VecDeque::new(), sending: false, taken: Time::ZERO }
    }

    /// Bytes of its longest frame.
    pub(super) fn frame(&self) -> u64 {
        (self.up / FRAMES_A_SECOND).clamp(MIN_FRAME, Data::MAX_LEN as u64)
    }

    /// Bytes that a connection to `taker` has on its way at most.
    pub(super) fn window(&self, taker: &Self, round_trip: Duration) -> u64 {
        let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        let rate = self.up.min(taker.down);
        BUFFERS + rate.saturating_mul(micros.min(10_000_000)) / 1_000_000
    }

    /// The connection to `taker` has something to send; once until its turn.
    pub(super) fn wait(&mut self, taker: u32) {
        self.turns.push_back(taker);
    }

    /// Whose turn it is, if the line is free.
    pub(super) fn next(&mut self) -> Option<u32> {
        if self.sending { None } else { self.turns.pop_front() }
    }

    /// A frame goes out; when it is through.
    pub(super) fn send(&mut self, now: Time, bytes: u64) -> Time {
        self.sending = true;
        now + span(bytes, self.up)
    }

    /// The frame that went out is through.
    pub(super) fn sent(&mut self) {
        self.sending = false;
    }

    /// Bytes arrive; when they are in.
    pub(super) fn take(&mut self, now: Time, bytes: u64) -> Time {
        self.taken = self.taken.max(now);
        if bytes > 0 {
            self.taken = self.taken + span(bytes, self.down);
        }
        self.taken
    }

    /// The connection to `taker` has ended; its frame that is on its way out goes on.
    pub(super) fn forget(&mut self, taker: u32) {
        self.turns.retain(|waiting| *waiting != taker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_turns_and_one_frame_goes_at_a_time() {
        let mut line = Line::new(1_000_000, 1_000_000);
        let now = Time::from_micros(5);
        (0..3).for_each(|taker| line.wait(taker));
        assert_eq!(line.next(), Some(0));
        let through = line.send(now, 100_000);
        assert_eq!(through.since(now), Duration::from_millis(100));
        assert_eq!(line.next(), None, "the line is taken");
        line.sent();
        line.wait(0);
        line.wait(3);
        line.forget(2);
        let order: Vec<u32> = std::iter::from_fn(|| line.next()).collect();
        assert_eq!(order, [1, 0, 3]);
    }

    #[test]
    fn what_arrives_is_in_after_what_came_before_it() {
        let mut line = Line::new(1, 1_000_000);
        let at = |millis: u64| Time::from_micros(millis * 1000);
        assert_eq!(line.take(at(0), 100_000), at(100));
        assert_eq!(line.take(at(50), 100_000), at(200));
        assert_eq!(line.take(at(60), 0), at(200), "a word waits behind data");
        assert_eq!(line.take(at(300), 0), at(300));
    }

    #[test]
    fn frames_are_as_long_as_the_daemon_cuts_them() {
        let frame = |up| Line::new(up, 1).frame();
        assert_eq!([1000, 1_000_000, 1 << 40].map(frame), [16_384, 100_000, 262_144]);
    }

    #[test]
    fn a_connection_has_what_fills_it_on_its_way() {
        let (giver, taker) = (Line::new(50_000_000, 1), Line::new(1, 10_000_000));
        let window = giver.window(&taker, Duration::from_millis(100));
        assert_eq!(window, BUFFERS + 1_000_000);
    }
}
