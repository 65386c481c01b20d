//! Who is around: what a servent says of its neighbours to one that probes it.

use super::Extensions;

/// Which of the contacts of a [`Welcome`](super::Welcome) are living neighbours: an
/// extension, which the answer to a probe bears unless the servent declines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Living {
    /// So many of the contacts, the first ones.
    pub listed: u8,
    /// How many neighbours there are in all, the one who asks not counted.
    pub all: u16,
}

impl Living {
    /// The tag of the extension.
    pub const TAG: u16 = 1;

    /// As an extension: the listed as a byte, all as 2, little-endian.
    #[must_use]
    pub fn to_extensions(self) -> Extensions {
        let [low, high] = self.all.to_le_bytes();
        vec![(Self::TAG, vec![self.listed, low, high])]
    }

    /// What the extensions say; none when they do not, or not as they should.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let (_, value) = extensions.iter().find(|(tag, _)| *tag == Self::TAG)?;
        let [listed, low, high] = <[u8; 3]>::try_from(value.as_slice()).ok()?;
        Some(Self { listed, all: u16::from_le_bytes([low, high]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_living_reads_back_and_only_in_its_own_shape() {
        let living = Living { listed: 16, all: 300 };
        assert_eq!(Living::of(&living.to_extensions()), Some(living));
        for wrong in [0, 2, 4] {
            assert_eq!(Living::of(&vec![(Living::TAG, vec![0; wrong])]), None);
        }
        assert_eq!(Living::of(&vec![(2, vec![1, 2, 3])]), None);
    }
}
