//! `agentctl pause` and `agentctl resume`.

use std::time::SystemTime;

use relight_proto::v1 as pb;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::args::PauseArgs;
use crate::connect::{CHANGE_LIMIT, answer};
use crate::failure::{Exit, Failure};
use crate::render::words::{moment, plain};
use crate::session::{Session, note};

/// Stops the cluster's automatic actions for a while.
///
/// # Errors
/// A moment that cannot be read, the agent's refusal, or that it cannot be reached.
pub async fn pause(session: &Session, args: PauseArgs) -> Result<Exit, Failure> {
    let until = moment_of(&args.until)?;
    let mut agent = session.agent().await?;
    let request = pb::PauseRequest { reason: args.reason, until };
    let reply = answer("pause the cluster", CHANGE_LIMIT, agent.pause(request)).await?;
    let paused = reply.paused.unwrap_or_default();
    let until = moment(&paused.until);
    note(&plain(&format!("paused until {until}: {}\n", paused.reason)));
    note("Relight watches and does nothing by itself, not even after a power loss.\n");
    note("to end it: agentctl resume\n");
    Ok(Exit::Done)
}

/// RFC 3339, from a moment or from a duration that starts now.
fn moment_of(text: &str) -> Result<String, Failure> {
    let refused = |cause: String| {
        let what = format!("failed to read `--until {text}`");
        let hint = "a duration such as `2h`, or a moment such as `2026-11-20T05:00:00Z`";
        Failure::new(Exit::Usage, [what, cause, hint.into()])
    };
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        return at.format(&Rfc3339).map_err(|error| refused(error.to_string()));
    }
    let ahead = humantime::parse_duration(text)
        .map_err(|_| refused("it is neither a duration nor a moment".into()))?;
    let at = SystemTime::now().checked_add(ahead).map(OffsetDateTime::from);
    let at = at.ok_or_else(|| refused("that is too far away".into()))?;
    let at = at.replace_nanosecond(0).unwrap_or(at);
    at.format(&Rfc3339).map_err(|error| refused(error.to_string()))
}

/// Ends a pause.
///
/// # Errors
/// The agent's refusal, or that it cannot be reached.
pub async fn resume(session: &Session) -> Result<Exit, Failure> {
    let mut agent = session.agent().await?;
    answer("end the pause", CHANGE_LIMIT, agent.resume(pb::ResumeRequest {})).await?;
    note("the pause is over; Relight acts by itself again\n");
    Ok(Exit::Done)
}
