#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use prost::Message as _;
use relight_proto::detail::DETAIL_KEY;
use relight_proto::v1::ErrorDetail;
use tonic::metadata::{MetadataMap, MetadataValue};

use super::*;

fn refusal(detail: &ErrorDetail) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert_bin(DETAIL_KEY, MetadataValue::from_bytes(&detail.encode_to_vec()));
    Status::with_metadata(Code::Internal, "failed to do it", metadata)
}

#[test]
fn every_kind_has_its_exit_code() {
    let kinds = ["unexpected", "usage", "holding", "refused", "unreachable"];
    let codes = kinds.map(|kind| {
        let detail = ErrorDetail { kind: kind.into(), ..Default::default() };
        Failure::of_call("test", &refusal(&detail)).exit() as u8
    });
    assert_eq!(codes, [1, 2, 3, 4, 5]);
}

#[test]
fn without_details_the_code_decides() {
    let exit = |code| Failure::of_call("test", &Status::new(code, "x")).exit();
    assert_eq!(exit(Code::FailedPrecondition), Exit::Refused);
    assert_eq!(exit(Code::Unavailable), Exit::Unreachable);
    assert_eq!(exit(Code::InvalidArgument), Exit::Usage);
    assert_eq!(exit(Code::Internal), Exit::Unexpected);
}

#[test]
fn always_three_lines_and_no_control_characters() {
    let detail = ErrorDetail {
        causes: vec!["the disk\x1b[2J is full".into(), "No space left on device".into()],
        hint: "make room".into(),
        kind: "unexpected".into(),
    };
    let text = Failure::of_call("test", &refusal(&detail)).render(Paint::Words);
    assert_eq!(
        text,
        "error: failed to do it\n\
         cause: the disk\u{fffd}[2J is full: No space left on device\n\
         hint:  make room\n"
    );
    let bare = Failure::of_call("read the moon", &Status::new(Code::Internal, ""));
    let bare = bare.render(Paint::Words);
    assert_eq!(bare.lines().count(), 3, "{bare}");
    assert!(bare.starts_with("error: failed to read the moon\n"), "{bare}");
}

#[test]
fn a_refusal_without_a_deeper_cause_is_the_cause() {
    let detail = ErrorDetail { hint: "x".into(), kind: "refused".into(), ..Default::default() };
    let text = Failure::of_call("join the cluster", &refusal(&detail)).render(Paint::Words);
    assert_eq!(text, "error: failed to join the cluster\ncause: failed to do it\nhint:  x\n");
}

#[test]
fn a_closed_pipe_is_silent_and_no_failure() {
    let failure = Failure::of_output(&io::Error::from(io::ErrorKind::BrokenPipe));
    assert_eq!((failure.exit(), failure.render(Paint::Words).as_str()), (Exit::Done, ""));
    let failure = Failure::of_output(&io::Error::from(io::ErrorKind::StorageFull));
    assert_eq!(failure.exit(), Exit::Unexpected);
}
