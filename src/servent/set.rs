//! Changing what can be changed while the servent runs.

use std::sync::{Arc, PoisonError};

use super::driver::Command;
use super::handle::Servent;
use super::lan;
use super::offload::offload;
use super::report::SettingReport;
use super::tuning::{Knob, Origin, Tuning, TuningError};
use crate::overlay::Input;

impl Servent {
    /// What counts now.
    #[must_use]
    pub fn tuning(&self) -> Arc<Tuning> {
        self.0.ground.panel.now()
    }

    /// Gives `knob` the value that `text` names, from now on and over restarts.
    ///
    /// # Errors
    /// [`TuningError`]; then nothing has changed.
    pub async fn set(&self, knob: Knob, text: &str) -> Result<SettingReport, TuningError> {
        Tuning::default().turn(knob, text, Origin::Set)?;
        let mut report = self.keep(knob, Some(text.to_owned()));
        self.tell_engine(knob).await;
        if knob == Knob::Lan && self.tuning().lan {
            let failed = lan::first_look(&self.0.ground).await;
            report.note = report.note.or_else(|| failed.map(|why| unfound(&why)));
        }
        Ok(report)
    }

    /// What `knob` is now, and what there is to know of it.
    #[must_use]
    pub fn setting(&self, knob: Knob) -> SettingReport {
        let tuning = self.tuning();
        let fails = knob == Knob::Lan && tuning.lan;
        let note = self.0.ground.lan.borrow().why().filter(|_| fails).map(unfound);
        SettingReport { note, ..tuning.report(knob) }
    }

    /// Forgets what was set for `knob`: flags, environment, `config.toml` and the default
    /// count again.
    pub async fn forget(&self, knob: Knob) -> SettingReport {
        let report = self.keep(knob, None);
        self.tell_engine(knob).await;
        report
    }

    /// The engine reads no panel.
    async fn tell_engine(&self, knob: Knob) {
        if knob == Knob::TraceName {
            let named = Input::TraceName(self.tuning().trace_name);
            // A servent that stops traces nothing any more.
            let _ = self.tell(Command::Tell(named)).await;
        }
    }

    fn keep(&self, knob: Knob, text: Option<String>) -> SettingReport {
        let mut remembered = self.0.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let set = text.is_some();
        remembered.keep(knob, text);
        let tuning = remembered.tuning();
        let mut report = tuning.report(knob);
        self.0.library.set_hash_threads(tuning.hash_threads);
        // In the lock, so that the last one who sets is the one who counts.
        self.0.ground.tune(tuning);
        report.note = match &self.0.state {
            None if set => Some("it is forgotten with this servent, which is ephemeral".to_owned()),
            None => None,
            Some(state) => match offload(|| remembered.save(state)) {
                Err(error) => Some(format!("it counts until the servent stops: {error}")),
                Ok(()) => remembered
                    .overruled_by(knob)
                    .filter(|_| set)
                    .map(|origin| format!("at the next start the {origin} goes before it")),
            },
        };
        report
    }
}

fn unfound(why: &str) -> String {
    format!("nobody can be found on the local network: {why}")
}
