//! `agentctl status`, once, again and again, or until the cluster is healthy.

use std::io::{self, IsTerminal};
use std::time::Duration;

use relight_proto::document::StatusDocument;
use relight_proto::v1 as pb;
use relight_proto::words::{reason_of_verdict, state_word};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, timeout_at};

use crate::args::StatusArgs;
use crate::connect::{READ_LIMIT, answer};
use crate::failure::{Exit, Failure};
use crate::render::words::plain;
use crate::render::{Format, document, status_table, stream_item};
use crate::session::{Session, height, note, put};

/// Between two frames of `--watch`.
const FRAME: Duration = Duration::from_secs(1);
/// Between two questions of `--wait`.
const POLL: Duration = Duration::from_millis(500);

/// Shows how the cluster is.
///
/// # Errors
/// When the agent cannot be reached, or a wait ran out.
pub async fn status(session: &Session, args: &StatusArgs) -> Result<Exit, Failure> {
    if args.watch {
        return watch(session, args.reading.output).await;
    }
    let status = match args.wait {
        Some(_) => wait(session, args).await?,
        None => fetch(session).await?,
    };
    put(&render(session, args.reading.output, &status))?;
    Ok(exit_of(&status))
}

/// Asks the agent once, over a connection of its own.
pub async fn fetch(session: &Session) -> Result<pb::ClusterStatus, Failure> {
    let mut agent = session.agent().await?;
    let call = agent.get_status(pb::GetStatusRequest {});
    answer("read the status", READ_LIMIT, call).await
}

fn exit_of(status: &pb::ClusterStatus) -> Exit {
    let state = status.verdict.as_ref().map(pb::Verdict::state);
    if state == Some(pb::VerdictState::Healthy) { Exit::Done } else { Exit::Holding }
}

fn render(session: &Session, format: Format, status: &pb::ClusterStatus) -> String {
    document(format, &StatusDocument::from(status), || status_table::render(status, session.canvas))
}

// ------------------------------------------------------------------------------------ --wait

/// Asks until the cluster is healthy; an agent that is not up yet is waited for too.
async fn wait(session: &Session, args: &StatusArgs) -> Result<pb::ClusterStatus, Failure> {
    let deadline = Instant::now().checked_add(args.timeout);
    let mut last = None;
    loop {
        // The first question is always heard out, so that a wait of 0 s is one honest look.
        let asked = match deadline.filter(|_| last.is_some()) {
            Some(deadline) => timeout_at(deadline, fetch(session)).await.ok(),
            None => Some(fetch(session).await),
        };
        match asked {
            Some(Ok(status)) if exit_of(&status) == Exit::Done => return Ok(status),
            // Waiting does not mend rights, usage or a refusal.
            Some(Err(failure)) if failure.is_lasting() => return Err(failure),
            Some(answer) => last = Some(answer),
            None => {}
        }
        if deadline.is_some_and(|deadline| Instant::now() + POLL >= deadline) {
            return Err(ran_out(session, args, last)?);
        }
        sleep(POLL).await;
    }
}

type Answer = Result<pb::ClusterStatus, Failure>;

/// Shows the last answer and says what was still missing.
fn ran_out(session: &Session, args: &StatusArgs, last: Option<Answer>) -> Result<Failure, Failure> {
    let mut hint = "it goes on without you; wait again, or see why: `agentctl explain`".to_owned();
    let cause = match last {
        None => "the agent gave no answer".into(),
        Some(Err(failure)) => {
            hint = failure.hint().to_owned();
            failure.sentence()
        }
        Some(Ok(status)) => {
            put(&render(session, args.reading.output, &status))?;
            still_missing(&status)
        }
    };
    let limit = humantime::format_duration(args.timeout);
    let what = format!("the cluster was not healthy within {limit}");
    Ok(Failure::new(Exit::Holding, [what, cause, hint]))
}

/// One sentence on what keeps the cluster from being healthy.
fn still_missing(status: &pb::ClusterStatus) -> String {
    let verdict = status.verdict.clone().unwrap_or_default();
    let reason = reason_of_verdict(&verdict).map_or_else(String::new, |word| format!(" ({word})"));
    let synced = |node: &&pb::Node| {
        let at = node.galera.as_ref().map(|it| (it.component.as_str(), it.state.as_str()));
        node.role == "witness" || at == Some(("primary", "synced"))
    };
    let absent: Vec<&str> =
        status.nodes.iter().filter(|node| !synced(node)).map(|node| node.name.as_str()).collect();
    let nodes = match absent.is_empty() {
        true => String::new(),
        false => format!("; not synced: {}", absent.join(", ")),
    };
    plain(&format!("still {}{reason}{nodes}", state_word(verdict.state())))
}

// ----------------------------------------------------------------------------------- --watch

/// Gives the terminal back, however the watch ends.
struct Screen {
    alternate: bool,
}

impl Screen {
    fn open(format: Format) -> Result<Self, Failure> {
        let alternate = format == Format::Table && io::stdout().is_terminal();
        if alternate {
            put("\x1b[?1049h\x1b[?25l")?;
        }
        Ok(Self { alternate })
    }

    /// One frame: in place on a terminal, separated by an empty line elsewhere.
    fn draw(&self, format: Format, text: &str) -> Result<(), Failure> {
        if !self.alternate {
            let gap = if format == Format::Table { "\n" } else { "" };
            return put(&format!("{text}{gap}"));
        }
        let rows = height().unwrap_or(24).saturating_sub(1);
        let total = text.lines().count();
        let mut frame = String::from("\x1b[H");
        let shown = if total > rows { rows.saturating_sub(1) } else { total };
        for line in text.lines().take(shown) {
            frame += &format!("{line}\x1b[K\n");
        }
        if shown < total {
            frame += &format!("... {} more lines\x1b[K\n", total - shown);
        }
        put(&format!("{frame}\x1b[J"))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.alternate {
            let _closed = put("\x1b[?25h\x1b[?1049l");
        }
    }
}

async fn watch(session: &Session, format: Format) -> Result<Exit, Failure> {
    let mut ends = Ends::new()?;
    let screen = Screen::open(format)?;
    loop {
        let asked = tokio::select! {
            asked = fetch(session) => asked,
            () = ends.next() => return Ok(Exit::Done),
        };
        match asked {
            Ok(status) => {
                let doc = StatusDocument::from(&status);
                let table = || status_table::render(&status, session.canvas);
                screen.draw(format, &stream_item(format, &doc, table))?;
            }
            // An agent that restarts comes back; the watch stays. Programs get no broken document.
            Err(failure) if screen.alternate => {
                screen.draw(format, &failure.render(session.canvas.paint))?;
            }
            Err(failure) => note(&failure.render(session.paint_notes)),
        }
        tokio::select! {
            () = sleep(FRAME) => {}
            () = ends.next() => return Ok(Exit::Done),
        }
    }
}

/// Ctrl-C and a polite kill: both are how a watch ends.
pub struct Ends {
    interrupt: Signal,
    terminate: Signal,
}

impl Ends {
    /// From now on these signals no longer end the process by themselves.
    pub fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                let what = "failed to listen for Ctrl-C".into();
                let hint = "use `agentctl status` without --watch".into();
                Failure::new(Exit::Unexpected, [what, error.to_string(), hint])
            })
        };
        let interrupt = listen(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: listen(SignalKind::terminate())? })
    }

    /// Ends when one of them arrives.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
