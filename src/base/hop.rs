//! How far a query may still go, and how far it has come.

use std::fmt;

/// The widest horizon anybody may ask for, in hops.
///
/// Eight reaches every servent of a mesh of 100,000 at degree 8; what is more than
/// that is never asked for by an honest servent, and is clamped on receipt.
pub const MAX_TTL: u8 = 8;

/// The life a query has left: the hops it may still take, this one included.
///
/// A query arrives with a life of 1 at those who are asked but pass it on to nobody.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Ttl(pub u8);

impl Ttl {
    /// The life left for the next servent, or `None` on the last hop.
    #[must_use]
    pub fn spend(self) -> Option<Self> {
        (self.0 > 1).then(|| Self(self.0 - 1))
    }

    /// What may be left of this life after `hops`, so that together they stay
    /// within [`MAX_TTL`]; `None` when nothing may.
    #[must_use]
    pub fn clamp_after(self, hops: Hops) -> Option<Self> {
        let room = MAX_TTL.checked_sub(hops.0)?;
        let life = self.0.min(room);
        (life > 0).then_some(Self(life))
    }
}

/// The hops a message has behind it: 0 when its author sends it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Hops(pub u8);

impl Hops {
    /// One hop more, or `None` where the byte is full.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Hops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn life_and_hops_together_never_pass_the_limit() {
        for ttl in 0..=255 {
            for hops in 0..=255 {
                if let Some(left) = Ttl(ttl).clamp_after(Hops(hops)) {
                    assert!(left.0 >= 1 && left.0 <= ttl);
                    assert!(left.0 + hops <= MAX_TTL);
                }
            }
        }
        assert_eq!(Ttl(255).clamp_after(Hops(0)), Some(Ttl(8)));
        assert_eq!(Ttl(3).clamp_after(Hops(8)), None);
        assert_eq!(Ttl(0).clamp_after(Hops(0)), None);
    }

    #[test]
    fn the_last_hop_leaves_no_life() {
        assert_eq!(Ttl(2).spend(), Some(Ttl(1)));
        assert_eq!(Ttl(1).spend(), None);
        assert_eq!(Ttl(0).spend(), None);
    }
}
