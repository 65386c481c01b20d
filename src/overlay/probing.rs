//! Trying out those who were only told of, a servent every two minutes.
//!
//! So the address book knows before the need who answers: the next loss, and the next
//! start, turn to servents that were seen to live. A probe costs a hello and brings nobody
//! a link. A holder of a tried place that others would have is probed first, and keeps it
//! if it answers.

use rand::RngExt;

use super::Output;
use super::config::PROBE_EVERY;
use super::membership::Membership;
use super::refill::taken;
use crate::base::Time;
use crate::message::Purpose;

impl Membership {
    pub(super) fn probe(&mut self, now: Time, out: &mut Vec<Output>) {
        if now < self.probe_at {
            return;
        }
        self.probe_at = now + PROBE_EVERY.mul_f64(self.rng.random_range(0.75..1.25));
        self.book.sweep(now);
        let pressing = self.dialling.len() > 0 || self.neighbours.len() == 0;
        if self.alone || self.config.manual || pressing {
            return;
        }
        let excluded = taken(&self.neighbours, &self.dialling);
        if let Some(contact) = self.book.to_probe(now, &mut self.rng, excluded) {
            self.dial(now, contact, Purpose::Probe, out);
        }
    }
}
