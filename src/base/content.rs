//! What a file is, apart from where it lies.

use std::fmt;
use std::str::FromStr;

/// The identity of a file's content: its BLAKE3 hash, as `b3sum FILE` prints it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct ContentId(pub [u8; 32]);

impl ContentId {
    /// Characters of the text form.
    pub const TEXT_LEN: usize = 64;

    /// The id of a file without a byte.
    #[must_use]
    pub fn of_nothing() -> Self {
        Self(*blake3::hash(b"").as_bytes())
    }

    /// The first eight digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl serde::Serialize for ContentId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl schemars::JsonSchema for ContentId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ContentId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "The BLAKE3 hash of a content, as b3sum prints it.",
            "type": "string",
            "pattern": "^[0-9a-f]{64}$"
        })
    }
}

impl<'de> serde::Deserialize<'de> for ContentId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentId({})", self.short())
    }
}

/// Why a text is not a content id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a content id is 64 hexadecimal digits, as b3sum prints them")]
pub struct ContentIdError;

impl FromStr for ContentId {
    type Err = ContentIdError;

    fn from_str(text: &str) -> Result<Self, ContentIdError> {
        blake3::Hash::from_hex(text).map(|hash| Self(*hash.as_bytes())).map_err(|_| ContentIdError)
    }
}

/// A file's own name: the last component of its path, and never more.
///
/// Always valid UTF-8 of 1 to [`FileName::MAX_LEN`] bytes with no `/` and no NUL,
/// and neither `.` nor `..`. That makes it safe to *carry*, not to show or to
/// create: a terminal wants it escaped, a disk wants it mapped (`store`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FileName(String);

/// Why a text is not a file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileNameError {
    /// Nothing, `.` or `..`.
    #[error("the name is empty")]
    Empty,
    /// Longer than a Linux file system can hold.
    #[error("the name is longer than 255 bytes")]
    TooLong,
    /// Holds a path separator or a NUL.
    #[error("the name holds a '/' or a NUL")]
    Separator,
}

impl FileName {
    /// Longest name in bytes: `NAME_MAX` of Linux.
    pub const MAX_LEN: usize = 255;

    /// Checks `text`.
    ///
    /// # Errors
    /// [`FileNameError`], when it is no single path component.
    pub fn new(text: impl Into<String>) -> Result<Self, FileNameError> {
        let text = text.into();
        if text.is_empty() || text == "." || text == ".." {
            return Err(FileNameError::Empty);
        }
        if text.len() > Self::MAX_LEN {
            return Err(FileNameError::TooLong);
        }
        if text.contains(['/', '\0']) {
            return Err(FileNameError::Separator);
        }
        Ok(Self(text))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One published file, as its owner describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileInfo {
    /// What it holds.
    pub id: ContentId,
    /// Its size in bytes.
    pub size: u64,
    /// Its name there; another servent may call the same content otherwise.
    pub name: FileName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_b3sum_prints() {
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(ContentId::of_nothing().to_string(), empty);
        assert_eq!(empty.parse(), Ok(ContentId::of_nothing()));
        assert_eq!("af13".parse::<ContentId>(), Err(ContentIdError));
    }

    #[test]
    fn a_path_is_no_name() {
        for bad in ["", ".", "..", "a/b", "/etc/x", "../x", "a\0b"] {
            assert!(FileName::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(FileName::new("é".repeat(128)), Err(FileNameError::TooLong));
        for good in ["x", "-rf", ".bashrc", "a b", "C:\\x", "..."] {
            assert!(FileName::new(good).is_ok(), "{good:?}");
        }
    }
}
