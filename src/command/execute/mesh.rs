//! `join`, `invite`, `set mesh`.

use super::{Local, Out};
use crate::command::{Exit, Reply};
use crate::servent::{JoinTarget, Moved};

impl Local {
    /// Joins; into the private mesh whose key the line holds, if it holds one.
    pub(super) async fn join(&self, target: Option<JoinTarget>, out: Out<'_>) -> Exit {
        if let Some(key) = target.as_ref().and_then(|target| target.key.clone()) {
            match self.servent.enter(key).await {
                Ok(Moved::Already) => {}
                Ok(Moved::Now(note)) => {
                    let text = "this servent is in the private mesh of that line from now on, \
                                also at later starts; 'set mesh open' ends that";
                    out.say(Reply::Notice { text: text.to_owned() }).await;
                    if let Some(text) = note {
                        out.say(Reply::Notice { text }).await;
                    }
                }
                Err(error) => return out.fail(Exit::Failed, &error).await,
            }
        }
        match self.servent.join(target).await {
            Ok(report) => self.done(Reply::Joined(report), out).await,
            Err(error) => out.fail(Exit::Failed, &error).await,
        }
    }

    pub(super) async fn invite(&self, qr: bool, key: bool, out: Out<'_>) -> Exit {
        let mut invitation = self.servent.invitation(key);
        if invitation.addresses.is_empty() {
            let text = "this servent knows no address of its own to invite anybody to; start \
                        with --announce IP:PORT to name one";
            return out.fail(Exit::Failed, &text).await;
        }
        invitation.qr = qr;
        self.done(Reply::Invitation(invitation), out).await
    }

    /// Shows the mesh, or returns to the open one.
    pub(super) async fn set_mesh(&self, value: Option<&str>, out: Out<'_>) -> Exit {
        match value {
            None => self.done(Reply::Setting(self.servent.mesh_setting()), out).await,
            Some("open") => match self.servent.enter_open().await {
                Ok(_) => self.done(Reply::Set(self.servent.mesh_setting()), out).await,
                Err(error) => out.fail(Exit::Failed, &error).await,
            },
            Some(_) => {
                let text = "set mesh: only open is wanted here; 'join LINE' of a friend's \
                            'invite --key', or --network-key FILE at the start, leads into a \
                            private mesh";
                out.fail(Exit::Usage, &text).await
            }
        }
    }
}
