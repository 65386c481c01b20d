//! `browse`.

use super::{Local, Out};
use crate::command::{Exit, Reply};
use crate::servent::BrowseError;
use crate::servent::report::BrowseRequest;

impl Local {
    pub(super) async fn browse(&self, request: BrowseRequest, out: Out<'_>) -> Exit {
        match self.servent.browse(request).await {
            Ok(report) => self.done(Reply::Browse(report), out).await,
            Err(error @ BrowseError::LongFolder) => out.fail(Exit::Usage, &error).await,
            Err(error) => out.fail(Exit::Failed, &error).await,
        }
    }
}
