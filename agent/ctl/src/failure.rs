//! What went wrong, in the three parts that a person needs: what failed, why, what to do.
//!
//! Every failure of this program ends here and nowhere else becomes text. Exit codes are API
//! (design, section 1). Where the agent refuses, its own words are shown; nothing is made up.

use std::error::Error;
use std::io;

use relight_proto::detail::{Kind, detail_of};
use tonic::{Code, Status};

use crate::render::paint::{Paint, Tone};
use crate::render::words::plain;

/// How the program ends; the numbers are API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It was done; `status`: the cluster is healthy.
    Done = 0,
    /// A surprise, ours or the agent's.
    Unexpected = 1,
    /// The command line was wrong.
    Usage = 2,
    /// Not healthy, holding, or a wait that ran out.
    Holding = 3,
    /// The agent, or a rule of this program, said no.
    Refused = 4,
    /// No agent answered.
    Unreachable = 5,
}

/// An error of this program that knows what a person can do about it.
pub trait Explained: Error {
    /// What to do, one line.
    fn hint(&self) -> String;
    /// How the program ends because of it.
    fn exit(&self) -> Exit;
    /// Whether waiting cannot mend it.
    fn is_lasting(&self) -> bool {
        self.exit() != Exit::Unreachable
    }
}

/// A failure, ready to be printed.
#[derive(Debug)]
pub struct Failure {
    /// What failed, on what: a lower-case fragment.
    what: String,
    /// Why, innermost last.
    causes: Vec<String>,
    /// What to do.
    hint: String,
    /// How the program ends.
    exit: Exit,
    /// Nobody reads any more (`| head`): end in silence.
    silent: bool,
    /// Waiting does not mend it.
    lasting: bool,
    /// The agent wants to know where the server is to listen.
    asks_listen: bool,
}

impl<E: Explained + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut causes = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        let (hint, exit, lasting) = (error.hint(), error.exit(), error.is_lasting());
        let what = error.to_string();
        Self { what, causes, hint, exit, silent: false, lasting, asks_listen: false }
    }
}

impl Failure {
    /// A failure put together by hand: what, why, what to do.
    pub fn new(exit: Exit, [what, cause, hint]: [String; 3]) -> Self {
        let lasting = exit != Exit::Unreachable;
        let causes = vec![cause];
        Self { what, causes, hint, exit, silent: false, lasting, asks_listen: false }
    }

    /// Writing to stdout failed. A closed pipe is no failure: the reader has seen enough.
    pub fn of_output(error: &io::Error) -> Self {
        Self {
            what: "failed to write the answer to standard output".into(),
            causes: vec![error.to_string()],
            hint: "check where the output goes: a full disk, a closed terminal?".into(),
            exit: Exit::Unexpected,
            silent: error.kind() == io::ErrorKind::BrokenPipe,
            lasting: true,
            asks_listen: false,
        }
    }

    /// A failed call: the agent's own words where it sent them, else what gRPC knows.
    pub fn of_call(doing: &str, status: &Status) -> Self {
        let detail = detail_of(status).unwrap_or_default();
        let kind = Kind::of(&detail.kind);
        let exit = kind.map_or_else(|| exit_of_code(status.code()), exit_of_kind);
        let failed = || format!("failed to {doing}");
        let (what, causes) = match (status.message(), detail.causes) {
            // A refusal without a deeper cause is itself why the verb failed.
            (why, none) if none.is_empty() && !why.is_empty() && !detail.kind.is_empty() => {
                (failed(), vec![why.to_owned()])
            }
            ("", causes) if !causes.is_empty() => (failed(), causes),
            ("", _) => (failed(), vec![cause_of_code(doing, status.code())]),
            (what, none) if none.is_empty() => {
                (what.to_owned(), vec![cause_of_code(doing, status.code())])
            }
            (what, causes) => (what.to_owned(), causes),
        };
        let hint = match detail.hint.is_empty() {
            true => hint_of(exit, status.code()).to_owned(),
            false => detail.hint,
        };
        let lasting = exit != Exit::Unreachable;
        let asks_listen = kind == Some(Kind::AsksListen);
        Self { what, causes, hint, exit, silent: false, lasting, asks_listen }
    }

    /// How the program ends.
    pub fn exit(&self) -> Exit {
        if self.silent { Exit::Done } else { self.exit }
    }

    /// Whether waiting cannot mend it: everything but an agent that is not there yet.
    pub fn is_lasting(&self) -> bool {
        self.lasting
    }

    /// Whether the agent wants to know where the server is to listen, before it begins.
    pub fn asks_where_to_listen(&self) -> bool {
        self.asks_listen
    }

    /// What the agent said for whoever is asked.
    pub fn question(&self, paint: Paint) -> String {
        let why = self.causes.last().unwrap_or(&self.what);
        format!("{}\n{}", paint.tint(&plain(why), Tone::Strong), plain(&self.hint))
    }

    /// What to do.
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// What failed and why, as one sentence: for a frame of `status --watch`.
    pub fn sentence(&self) -> String {
        plain(&format!("{}: {}", self.what, self.causes.join(": ")))
    }

    /// The three lines; nothing when nobody reads.
    pub fn render(&self, paint: Paint) -> String {
        if self.silent {
            return String::new();
        }
        let line = |label: &str, tone, text: &str| {
            format!("{} {}\n", paint.tint(&format!("{label:<6}"), tone), plain(text))
        };
        let mut lines = line("error:", Tone::Bad, &self.what);
        lines += &line("cause:", Tone::Strong, &self.causes.join(": "));
        lines += &line("hint:", Tone::Strong, &self.hint);
        lines
    }
}

/// The exit code that an agent's kind of failure names.
const fn exit_of_kind(kind: Kind) -> Exit {
    match kind {
        Kind::Unexpected => Exit::Unexpected,
        Kind::Usage => Exit::Usage,
        Kind::Holding => Exit::Holding,
        Kind::Refused | Kind::AsksListen => Exit::Refused,
        Kind::Unreachable => Exit::Unreachable,
    }
}

/// The exit code of a failure that came without details: from the transport, or another version.
fn exit_of_code(code: Code) -> Exit {
    match code {
        Code::Ok => Exit::Done,
        Code::InvalidArgument | Code::OutOfRange => Exit::Usage,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Exit::Unreachable,
        Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::ResourceExhausted
        | Code::Aborted => Exit::Refused,
        Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => Exit::Unexpected,
    }
}

fn cause_of_code(doing: &str, code: Code) -> String {
    if code == Code::Unimplemented {
        return format!("the agent does not know how to {doing}");
    }
    if matches!(code, Code::Unavailable | Code::Cancelled) {
        return "the connection to the agent broke".into();
    }
    format!("the agent named no cause (gRPC code {}: {code})", i32::from(code))
}

fn hint_of(exit: Exit, code: Code) -> &'static str {
    if code == Code::Unimplemented {
        return "compare the versions: `agentctl version`; after an upgrade: \
                `systemctl restart relightd` (the database runs on)";
    }
    match exit {
        Exit::Unreachable => "see whether the agent runs: `systemctl status relightd`",
        Exit::Usage => "`agentctl help` lists what every verb takes",
        Exit::Holding | Exit::Refused => "see what the agent knows: `agentctl explain`",
        Exit::Done | Exit::Unexpected => "read the agent's log: `journalctl -u relightd -n 50`",
    }
}

#[cfg(test)]
mod tests;
