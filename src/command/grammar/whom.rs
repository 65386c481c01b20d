//! Whom a command is about.

use crate::command::address::join_target;
use crate::servent::report::Whom;

/// Somebody known, or, where an id and a place are named, whoever is there.
pub(super) fn whom(text: &str) -> Result<Whom, String> {
    if !text.contains('@') {
        return Ok(Whom::Named(text.to_owned()));
    }
    let target = join_target(text).map_err(|error| error.to_string())?;
    match target.key {
        None => Ok(Whom::At(target)),
        // Whoever is asked for files is in this servent's mesh, or does not answer.
        Some(_) => {
            Err("ID@HOST:PORT is wanted, without the key of a mesh ('join' takes it)".into())
        }
    }
}
