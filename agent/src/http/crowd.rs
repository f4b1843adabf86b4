//! Many connections, and never more than a few: when one comes that is too many, the oldest ends.
//!
//! An honest client is answered within milliseconds, so the oldest connection is the slow one, and
//! nobody can keep health checks out by holding connections open.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tracing::warn;

/// How long to wait after a failed accept: most often no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Accepts until it is dropped, which also ends all connections.
pub(super) async fn accept_all<F, C>(listener: TcpListener, connections_max: usize, handle: F)
where
    F: Fn(TcpStream) -> C,
    C: Future<Output = ()> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    let mut failing = false;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                if !failing {
                    warn!(%error, "cannot accept a connection");
                }
                failing = true;
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        failing = false;
        while tasks.try_join_next().is_some() {}
        oldest_first.retain(|task| !task.is_finished());
        while oldest_first.len() >= connections_max.max(1) {
            if let Some(oldest) = oldest_first.pop_front() {
                oldest.abort();
            }
        }
        oldest_first.push_back(tasks.spawn(handle(stream)));
    }
}
