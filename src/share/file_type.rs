//! What kind of thing a file is, as far as its name tells.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fold::{ending, folded};

/// The kinds that `type:` asks for.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum FileType {
    /// Music and speech.
    Audio,
    /// Films.
    Video,
    /// Pictures.
    Image,
    /// Text, books, tables, slides.
    Document,
    /// Packed files and images of disks.
    Archive,
}

impl FileType {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Audio, Self::Video, Self::Image, Self::Document, Self::Archive];

    /// The word that stands for it in a query.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Image => "image",
            Self::Document => "document",
            Self::Archive => "archive",
        }
    }

    /// The type that `word` stands for, in any case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word().eq_ignore_ascii_case(word))
    }

    /// The type of files with this folded ending.
    #[must_use]
    pub fn of_ending(ending: &str) -> Option<Self> {
        Some(match ending {
            "aac" | "aif" | "aiff" | "alac" | "amr" | "ape" | "flac" | "m4a" | "m4b" | "mid"
            | "midi" | "mka" | "mp2" | "mp3" | "mpc" | "oga" | "ogg" | "opus" | "spx" | "wav"
            | "wma" | "wv" => Self::Audio,
            "3gp" | "avi" | "flv" | "m2ts" | "m4v" | "mkv" | "mov" | "mp4" | "mpeg" | "mpg"
            | "mts" | "ogm" | "ogv" | "rm" | "rmvb" | "ts" | "vob" | "webm" | "wmv" => Self::Video,
            "avif" | "bmp" | "cr2" | "dng" | "gif" | "heic" | "heif" | "ico" | "jpeg" | "jpg"
            | "jxl" | "nef" | "png" | "psd" | "raw" | "svg" | "tga" | "tif" | "tiff" | "webp"
            | "xcf" => Self::Image,
            "azw" | "azw3" | "chm" | "csv" | "djvu" | "doc" | "docx" | "epub" | "fb2" | "htm"
            | "html" | "md" | "mobi" | "odp" | "ods" | "odt" | "pdf" | "ppt" | "pptx" | "ps"
            | "rst" | "rtf" | "tex" | "txt" | "xls" | "xlsx" => Self::Document,
            "7z" | "ar" | "bz2" | "cab" | "cpio" | "deb" | "dmg" | "gz" | "img" | "iso" | "jar"
            | "lz" | "lz4" | "lzma" | "rar" | "rpm" | "tar" | "tbz2" | "tgz" | "txz" | "xz"
            | "zip" | "zst" => Self::Archive,
            _ => return None,
        })
    }

    /// The type of a file of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::of_ending(ending(&folded(name))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_told_by_the_last_ending_in_any_case() {
        assert_eq!(FileType::of_name("Help!.MP3"), Some(FileType::Audio));
        assert_eq!(FileType::of_name("source.tar.gz"), Some(FileType::Archive));
        for none in ["mp3", ".mp3", "song.mp3.exe", "song."] {
            assert_eq!(FileType::of_name(none), None, "{none}");
        }
        assert_eq!(FileType::from_word("Video"), Some(FileType::Video));
        assert_eq!(FileType::from_word("software"), None);
    }
}
