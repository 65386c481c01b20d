//! `shared`.

use super::{Local, Out};
use crate::command::grammar::{MAX_LINES, SharedSort};
use crate::command::{Exit, Reply};
use crate::servent::report::{SharedOrder, SharedRequest};

/// Files of a page, unless told otherwise: what is read at a glance.
const PAGE: usize = 40;

impl From<SharedSort> for SharedOrder {
    fn from(sort: SharedSort) -> Self {
        match sort {
            SharedSort::Path => Self::Path,
            SharedSort::Name => Self::Name,
            SharedSort::Size => Self::Size,
            SharedSort::Modified => Self::Modified,
        }
    }
}

impl Local {
    /// Lists a page of so many lines, or everything.
    pub(super) async fn shared(
        &self,
        request: SharedRequest,
        page: Option<(usize, Option<usize>)>,
        out: Out<'_>,
    ) -> Exit {
        let words = request.words.clone().unwrap_or_default();
        let Some((page, lines)) = page else {
            return match self.servent.all_shared(request, MAX_LINES).await {
                Ok(listings) => {
                    for listing in listings {
                        out.say(Reply::Shared(listing)).await;
                    }
                    Exit::Done
                }
                Err(error) => {
                    out.say(Reply::query_error(&error, &words, error.at)).await;
                    Exit::Usage
                }
            };
        };
        let lines = lines.unwrap_or(PAGE);
        let from = (page - 1).saturating_mul(lines);
        match self.servent.shared(request, from, lines).await {
            Ok(mut listing) => {
                let empty = listing.files.is_empty() && listing.folders.is_empty();
                if empty && page > 1 {
                    let text = format!("there is no page {page} of what is shared");
                    return out.fail(Exit::Failed, &text).await;
                }
                listing.page = Some(page);
                self.done(Reply::Shared(listing), out).await
            }
            Err(error) => {
                out.say(Reply::query_error(&error, &words, error.at)).await;
                Exit::Usage
            }
        }
    }
}
