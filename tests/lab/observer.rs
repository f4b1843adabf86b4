//! Someone who asks every node ten times a second which component it is in.
//!
//! It asks the servers over the network like any client, and draws one conclusion on its own: that
//! two primary components existed at once. Everything else is a time line for stories to read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use tokio::runtime::Runtime;
use tokio::time::{MissedTickBehavior, interval_at, timeout};

use super::Node;
use super::account;
use super::timeline::{Sample, Seen, Timeline, View};
use super::wait::{Wait, wait_until};

/// Ten times a second.
const PERIOD: Duration = Duration::from_millis(100);
/// A server that needs longer is as good as silent; a frozen one still completes connections.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);
const QUESTION: &str = "SELECT variable_name, variable_value FROM information_schema.global_status \
     WHERE variable_name LIKE 'wsrep\\_%'";

/// The running observer. Dropping it stops it.
#[derive(Debug)]
pub struct Observer {
    timeline: Arc<Mutex<Timeline>>,
    names: Vec<String>,
    runtime: Runtime,
}

impl Observer {
    /// Starts asking. Nodes may be off or out of reach then and at any time later; the account must
    /// exist on those that are to be understood.
    ///
    /// # Errors
    /// If its runtime cannot be started.
    pub fn start(nodes: &[Node]) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("failed to start the observer's runtime")?;
        let timeline = Arc::new(Mutex::new(Timeline::default()));
        // The nodes take turns within a period. Asked in step, no answer would ever lie between two
        // answers of another node, and two primary components at once could not be proven.
        let turn = PERIOD / u32::try_from(nodes.len()).unwrap_or(u32::MAX).max(1);
        for (node, index) in nodes.iter().zip(0_u32..) {
            let asker = Asker {
                node: node.name().to_owned(),
                options: account::options(node),
                begin: tokio::time::Instant::now() + turn * index,
                timeline: Arc::clone(&timeline),
            };
            runtime.spawn(asker.ask_for_ever());
        }
        let names = nodes.iter().map(|node| node.name().to_owned()).collect();
        Ok(Self { timeline, names, runtime })
    }

    /// What a node said last.
    pub fn latest(&self, node: &str) -> Option<Sample> {
        lock(&self.timeline).latest(node).cloned()
    }

    /// Waits until all nodes, asked after `moment`, are synced in one primary component, and gives
    /// how long after `moment` that was.
    ///
    /// # Errors
    /// If that takes longer than `limit` from now.
    pub fn wait_all_synced(&self, moment: Instant, limit: Duration) -> Result<Duration> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        self.wait_synced(&names, moment, limit)
    }

    /// As [`Observer::wait_all_synced`], for some of the nodes.
    ///
    /// # Errors
    /// If that takes longer than `limit` from now.
    pub fn wait_synced(
        &self,
        names: &[&str],
        moment: Instant,
        limit: Duration,
    ) -> Result<Duration> {
        wait_until(&format!("{} are synced in one component", names.join(" ")), limit, || {
            let timeline = lock(&self.timeline);
            match timeline.synced_together(names, moment) {
                Some(took) => Wait::Done(took),
                None => Wait::Not(timeline.last_words()),
            }
        })
    }

    /// Stops asking and gives all that was seen.
    pub fn stop(self) -> Timeline {
        self.runtime.shutdown_background();
        lock(&self.timeline).clone()
    }

    /// What was seen so far.
    pub fn timeline(&self) -> Timeline {
        lock(&self.timeline).clone()
    }
}

fn lock(timeline: &Mutex<Timeline>) -> MutexGuard<'_, Timeline> {
    timeline.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Asker {
    node: String,
    options: Opts,
    begin: tokio::time::Instant,
    timeline: Arc<Mutex<Timeline>>,
}

impl Asker {
    async fn ask_for_ever(self) {
        let mut ticks = interval_at(self.begin, PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut open: Option<(Conn, String)> = None;
        loop {
            ticks.tick().await;
            let asked = Instant::now();
            let answer = timeout(ANSWER_LIMIT, ask(open.take(), &self.options)).await;
            let seen = match answer {
                Ok(Ok((connection, view))) => {
                    open = Some(connection);
                    Seen::View(view)
                }
                Ok(Err(error)) => Seen::Unheard(error),
                Err(_) => Seen::Unheard(format!("no answer within {ANSWER_LIMIT:?}")),
            };
            let node = self.node.clone();
            lock(&self.timeline).samples.push(Sample {
                node,
                asked,
                answered: Instant::now(),
                seen,
            });
        }
    }
}

/// Asks over the open connection, or over a new one; a connection that failed is not given back.
async fn ask(
    open: Option<(Conn, String)>,
    options: &Opts,
) -> Result<((Conn, String), View), String> {
    let (mut connection, group) = match open {
        Some(open) => open,
        None => {
            let mut connection = account::connect(options, ANSWER_LIMIT).await?;
            // The name of the group can change only with a restart, which ends the connection.
            let row: Option<(String, String)> = connection
                .query_first("SHOW GLOBAL VARIABLES LIKE 'wsrep_cluster_name'")
                .await
                .map_err(|error| error.to_string())?;
            (connection, row.map(|(_, name)| name).unwrap_or_default())
        }
    };
    let rows: Vec<(String, String)> =
        connection.query(QUESTION).await.map_err(|error| error.to_string())?;
    let view = View::from_status(&rows, &group);
    Ok(((connection, group), view))
}
