//! A failed call in three parts: what failed, why, what to do. One way to write it, one to read.
//!
//! What failed is the message of the gRPC status; the rest travels beside it as an
//! [`v1::ErrorDetail`].

use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::v1;

/// Binary metadata key of the detail.
pub const DETAIL_KEY: &str = "relight-error-bin";

/// Metadata travels in a header, and clients refuse headers of more than a few kilobytes.
const TEXT_MAX: usize = 600;
const CAUSES_MAX: usize = 6;

/// What a failure means to whoever asked; becomes the exit code of `agentctl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something that should not happen.
    Unexpected,
    /// The request makes no sense as it is.
    Usage,
    /// Not possible in the present state.
    Refused,
    /// Waiting for something; the same request may succeed later.
    Holding,
    /// Nobody answers whom it takes.
    Unreachable,
    /// Whoever asked has to choose where the server listens, and can be asked.
    AsksListen,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Unexpected,
        Self::Usage,
        Self::Refused,
        Self::Holding,
        Self::Unreachable,
        Self::AsksListen,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unexpected => "unexpected",
            Self::Usage => "usage",
            Self::Refused => "refused",
            Self::Holding => "holding",
            Self::Unreachable => "unreachable",
            Self::AsksListen => "asks-listen",
        }
    }

    /// The kind of this word; nothing for a word of another version.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The code for programs that know no detail.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Unexpected => Code::Internal,
            Self::Usage => Code::InvalidArgument,
            Self::Refused | Self::AsksListen => Code::FailedPrecondition,
            Self::Holding => Code::Aborted,
            Self::Unreachable => Code::Unavailable,
        }
    }
}

/// A failed call: what failed, the chain of causes, the hint.
#[must_use]
pub fn status(kind: Kind, what: &str, causes: &[String], hint: &str) -> Status {
    let detail = v1::ErrorDetail {
        causes: causes.iter().take(CAUSES_MAX).map(|cause| one_line(cause)).collect(),
        hint: one_line(hint),
        kind: kind.as_str().to_owned(),
    };
    let mut status = Status::new(kind.code(), one_line(what));
    let value = MetadataValue::from_bytes(&detail.encode_to_vec());
    status.metadata_mut().insert_bin(DETAIL_KEY, value);
    status
}

/// The detail of a failed call; nothing where the other side sent none that can be read.
#[must_use]
pub fn detail_of(status: &Status) -> Option<v1::ErrorDetail> {
    let value = status.metadata().get_bin(DETAIL_KEY)?;
    v1::ErrorDetail::decode(value.to_bytes().ok()?).ok()
}

/// Without line breaks, and short enough for a header.
fn one_line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(TEXT_MAX)
        .collect();
    if text.chars().count() > TEXT_MAX {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let causes = ["one".to_owned(), "two\nlines".to_owned()];
        for kind in Kind::ALL {
            let told = status(kind, "it failed", &causes, "do this");
            assert_eq!((told.code(), told.message()), (kind.code(), "it failed"));
            let detail = detail_of(&told).unwrap_or_default();
            assert_eq!(Kind::of(&detail.kind), Some(kind));
            assert_eq!(detail.causes, ["one", "two lines"]);
            assert_eq!(detail.hint, "do this");
        }
        assert_eq!(detail_of(&Status::internal("of another program")), None);
        assert_eq!(Kind::of("of a later version"), None);
    }

    #[test]
    fn a_long_story_fits_into_a_header() {
        let long = vec!["x".repeat(5_000); 20];
        let told = status(Kind::Refused, &long.concat(), &long, &long.concat());
        let detail = detail_of(&told).unwrap_or_default();
        assert!(detail.encoded_len() < 8_000 && detail.causes.len() == CAUSES_MAX);
    }
}
