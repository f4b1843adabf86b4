//! `agentctl events`: what happened, oldest first, and on request what happens from now on.

use std::collections::BTreeMap;

use relight_proto::v1 as pb;
use serde::Serialize;

use super::status::Ends;
use crate::args::EventsArgs;
use crate::connect::{CHANGE_LIMIT, answer, failure_of};
use crate::failure::{Exit, Failure};
use crate::render::paint::Tone;
use crate::render::stream_item;
use crate::render::table::Canvas;
use crate::render::words::{moment, plain};
use crate::session::{Session, put};

/// One event for programs.
#[derive(Debug, Serialize)]
struct EventDocument {
    at: String,
    node: String,
    level: String,
    kind: String,
    text: String,
    fields: BTreeMap<String, String>,
}

/// Shows events.
///
/// # Errors
/// When the agent cannot be reached or the stream breaks.
pub async fn events(session: &Session, args: &EventsArgs) -> Result<Exit, Failure> {
    const DOING: &str = "list events";
    let mut agent = session.agent().await?;
    let request = pb::ListEventsRequest { follow: args.follow, limit: args.limit.unwrap_or(0) };
    let mut stream = answer(DOING, CHANGE_LIMIT, agent.list_events(request)).await?;
    let mut ends = Ends::new()?;
    loop {
        let next = tokio::select! {
            next = stream.message() => next,
            () = ends.next() => return Ok(Exit::Done),
        };
        let event = match next {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(Exit::Done),
            Err(status) => return Err(failure_of(DOING, &status)),
        };
        let line = line(&event, session.canvas);
        put(&stream_item(args.output, &EventDocument::from(event), || line))?;
    }
}

impl From<pb::Event> for EventDocument {
    fn from(event: pb::Event) -> Self {
        let pb::Event { at, node, level, kind, text, fields } = event;
        Self { at, node, level, kind, text, fields: fields.into_iter().collect() }
    }
}

/// One line; in a stream nothing can be measured beforehand, so the columns are fixed.
fn line(event: &pb::Event, canvas: Canvas) -> String {
    let tone = match event.level.as_str() {
        "error" => Tone::Bad,
        "warning" => Tone::Notice,
        "notice" => Tone::Strong,
        _ => Tone::Plain,
    };
    let level = canvas.paint.tint(&format!("{:<7}", plain(&event.level)), tone);
    let (node, kind) = (plain(&event.node), plain(&event.kind));
    format!("{}  {node:<8}  {level}  {kind:<11}  {}\n", moment(&event.at), plain(&event.text))
}
