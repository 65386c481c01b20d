//! `set`, `serve`, `news`, `limits`.

use super::{Local, Out};
use crate::command::grammar::Key;
use crate::command::{Exit, Reply};
use crate::servent::Knob;

impl Local {
    /// Lists the settings, shows one, or changes it.
    pub(super) async fn set(
        &self,
        key: Option<Key>,
        value: Option<&str>,
        forget: bool,
        out: Out<'_>,
    ) -> Exit {
        let knob = match key {
            None => {
                let knobs = Knob::ALL.into_iter().map(|knob| self.servent.setting(knob));
                let settings = knobs.chain([self.servent.mesh_setting()]).collect();
                return self.done(Reply::Settings { settings }, out).await;
            }
            Some(Key::Mesh) => {
                return self.set_mesh(if forget { Some("open") } else { value }, out).await;
            }
            Some(Key::Knob(knob)) => knob,
        };
        let set = match value {
            Some(value) => self.servent.set(knob, value).await,
            None if forget => Ok(self.servent.forget(knob).await),
            None => return self.done(Reply::Setting(self.servent.setting(knob)), out).await,
        };
        match set {
            Ok(report) => self.done(Reply::Set(report), out).await,
            Err(error) => {
                let text = format!("set {}: {error}", knob.key());
                out.fail(Exit::Usage, &text).await
            }
        }
    }

    /// Switches `knob`, which has a command of its own.
    pub(super) async fn switch(&self, knob: Knob, on: bool, out: Out<'_>) -> Exit {
        let report = match self.servent.set(knob, if on { "on" } else { "off" }).await {
            Ok(report) => report,
            Err(error) => return out.fail(Exit::Usage, &error).await,
        };
        out.say(match knob {
            Knob::News => Reply::NewsSwitch { on },
            _ => Reply::ServeSwitch { on },
        })
        .await;
        if let Some(text) = report.note {
            out.say(Reply::Notice { text }).await;
        }
        Exit::Done
    }
}
