//! `search`, `results` and `wanted`.

use std::cmp::Reverse;

use super::{Local, Out};
use crate::command::grammar::ResultOrder;
use crate::command::{Exit, Reply};
use crate::servent::report::{SearchEvent, SearchRequest};
use crate::servent::{DownloadError, SearchError, WantedError};

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

    pub(super) async fn results(
        &self,
        sort: Option<ResultOrder>,
        which: Option<&str>,
        out: Out<'_>,
    ) -> Exit {
        let mut results = match which.map(|which| (which, which.trim().parse::<usize>())) {
            None => self.servent.results().await,
            Some((_, Ok(number))) => {
                let results = self.servent.results().await;
                let found = results.len();
                return match results.into_iter().find(|result| result.number == number) {
                    Some(result) => self.done(Reply::Result(result), out).await,
                    None => {
                        let error = DownloadError::NoResult { number, results: found };
                        out.fail(Exit::Failed, &error).await
                    }
                };
            }
            Some((words, Err(_))) => match self.servent.results_that_fit(words).await {
                Ok(results) if results.is_empty() => {
                    out.say(Reply::Results { results }).await;
                    return Exit::NothingFound;
                }
                Ok(results) => results,
                Err(error) => {
                    out.say(Reply::query_error(&error, words, error.at)).await;
                    return Exit::Usage;
                }
            },
        };
        // Stable, so that equals stay in the order of their numbers.
        match sort {
            None => {}
            Some(ResultOrder::Name) => results.sort_by(|one, other| one.names.cmp(&other.names)),
            Some(ResultOrder::Size) => results.sort_by_key(|result| Reverse(result.size)),
            Some(ResultOrder::Sources) => {
                results.sort_by_key(|result| Reverse(result.sources.len()));
            }
            Some(ResultOrder::Modified) => results.sort_by_key(|result| Reverse(result.modified)),
        }
        self.done(Reply::Results { results }, out).await
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
