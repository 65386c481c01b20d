//! `news follow`.

use tokio::sync::broadcast::error::RecvError;

use super::{Local, Out};
use crate::command::{Exit, Reply};

impl Local {
    /// Tells all news until the servent stops. The first reply says that from here on
    /// nothing is missed.
    pub(super) async fn follow(&self, out: Out<'_>) -> Exit {
        let mut news = self.servent.news();
        let text = "news as they come; Ctrl-C ends them".to_owned();
        out.say(Reply::Notice { text }).await;
        loop {
            let heard = tokio::select! {
                biased;
                heard = news.recv() => heard,
                () = self.quitting.cancelled() => return Exit::Done,
            };
            let reply = match heard {
                Ok(news) => Reply::News { news },
                Err(RecvError::Lagged(missed)) => {
                    let text = format!("... and {missed} news that came too fast to be told");
                    Reply::Notice { text }
                }
                Err(RecvError::Closed) => return Exit::Done,
            };
            out.say(reply).await;
        }
    }
}
