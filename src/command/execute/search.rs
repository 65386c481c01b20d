//! `search`, `results` and `wanted`.

use super::{Local, Out};
use crate::command::{Exit, Reply};
use crate::servent::report::{SearchEvent, SearchRequest};
use crate::servent::{SearchError, WantedError};

impl Local {
    pub(super) async fn search(&self, request: SearchRequest, out: Out<'_>) -> Exit {
        let query = request.text.clone();
        let mut events = match self.servent.search(request).await {
            Ok(events) => events,
            Err(error) if let Some(at) = error.place() => {
                out.say(Reply::query_error(&error, &query, at)).await;
                return Exit::Usage;
            }
            Err(error @ (SearchError::Query(_) | SearchError::Ttl(_))) => {
                return out.fail(Exit::Usage, &error).await;
            }
            Err(error) => return out.fail(Exit::Failed, &error).await,
        };
        while let Some(event) = events.recv().await {
            match event {
                SearchEvent::Hit(hit) => out.say(Reply::Hit(hit)).await,
                SearchEvent::Trace(trace) => out.say(Reply::Trace(trace)).await,
                SearchEvent::End(end) => {
                    let exit = match end.files {
                        0 if end.by_timer => Exit::TimedOut,
                        // Only who asked somebody may say that nobody has it.
                        0 if end.asked == 0 => Exit::Failed,
                        0 => Exit::NothingFound,
                        _ => Exit::Done,
                    };
                    out.say(Reply::SearchEnd(end)).await;
                    return exit;
                }
            }
        }
        out.fail(Exit::Failed, &"the search was given up; another one took its place").await
    }

    pub(super) async fn results(&self, number: Option<usize>, out: Out<'_>) -> Exit {
        let results = self.servent.results().await;
        let Some(number) = number else {
            return self.done(Reply::Results { results }, out).await;
        };
        let found = results.len();
        match results.into_iter().find(|result| result.number == number) {
            Some(result) => self.done(Reply::Result(result), out).await,
            None if found == 0 => {
                out.fail(Exit::Failed, &"there are no results; 'search WORDS' finds some").await
            }
            None => {
                let text = format!("there is no result {number}; the latest search found {found}");
                out.fail(Exit::Failed, &text).await
            }
        }
    }

    pub(super) async fn wanted(
        &self,
        show: Option<usize>,
        forget: Option<usize>,
        words: Option<String>,
        out: Out<'_>,
    ) -> Exit {
        let query = words.clone().unwrap_or_default();
        let reply = match (show, forget, words) {
            (Some(number), ..) => {
                self.servent.show_wanted(number).await.map(|results| Reply::Results { results })
            }
            (_, Some(number), _) => self.servent.forget_wanted(number).await.map(Reply::Forgot),
            (.., Some(words)) => self.servent.want(&words).await.map(Reply::Wants),
            _ => Ok(Reply::Wanted { wanted: self.servent.wanted() }),
        };
        match reply {
            Ok(reply) => self.done(reply, out).await,
            Err(error) if let Some(at) = error.place() => {
                out.say(Reply::query_error(&error, &query, at)).await;
                Exit::Usage
            }
            Err(error @ WantedError::Query(_)) => out.fail(Exit::Usage, &error).await,
            Err(error) => out.fail(Exit::Failed, &error).await,
        }
    }
}
