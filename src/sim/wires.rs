//! Links of a virtual network: two ends each, `2n` of who dialled and `2n + 1`.

use crate::base::Time;
use crate::message::Purpose;
use crate::overlay::LinkId;

/// One end of a link: where what is sent on it arrives.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) owner: u32,
    pub(super) to: u32,
    pub(super) open: bool,
    /// What the dialler dialled for, until it is greeted.
    pub(super) greeting: Option<Purpose>,
    pub(super) fixed: f64,
    /// Nothing on this link arrives before what was sent before it.
    pub(super) last: Time,
}

/// The other end of a link.
pub(super) fn far(link: LinkId) -> LinkId {
    LinkId(link.0 ^ 1)
}

/// Where the end stands among all.
pub(super) fn index(link: LinkId) -> usize {
    usize::try_from(link.0).unwrap_or(usize::MAX)
}
