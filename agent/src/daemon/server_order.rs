//! A person's order to this node's server.

use std::sync::Arc;

use super::member::Member;
use crate::events::{EventKind, Level};
use crate::failure::Failure;
use crate::peers::messages::ServerVerb;

/// Starts, stops or restarts this node's server on a person's wish. Starting is left to the plan,
/// which knows whether it is safe.
///
/// # Errors
/// When the wish could not be stored or the server not be stopped.
pub async fn control_server(member: &Arc<Member>, verb: ServerVerb) -> Result<(), Failure> {
    let wish = verb == ServerVerb::Stop;
    let views = member.views.clone();
    let stored =
        tokio::task::spawn_blocking(move || views.change(|it| it.stopped_by_request = wish)).await;
    match stored {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(Failure::unexpected("failed to store the wish", &error)),
        Err(error) => return Err(Failure::unexpected("failed to store the wish", &error)),
    }
    if verb != ServerVerb::Start {
        let _hands = member.acting.begin().await;
        member.tell(Level::Notice, EventKind::Server, "stopping the server: a person asked for it");
        let stop = member.hands.stop().await;
        stop.map_err(|error| Failure::unexpected("failed to stop the server", &error))?;
    }
    member.wake.notify_one();
    Ok(())
}
