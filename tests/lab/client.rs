//! An application that writes all the time and remembers what it was promised.
//!
//! One writer for each node, always through that node. Every row is unique and is written once: a
//! row whose answer got lost stays *unknown* and is never tried again, for a second try would hide
//! whether the first one arrived. What the servers hold afterwards is judged in `verify`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::Node;
use super::account::{self, TABLE};
use super::verify::{self, Verification};
use super::wait::{Wait, wait_until};

/// Between two rows of one writer. Three writers then make about 200 rows a second.
const PACE: Duration = Duration::from_millis(10);
/// After a failure; this is how precisely the first accepted write is measured.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Short, because a SYN that meets a switched-off node is repeated only after a second.
const CONNECT_LIMIT: Duration = Duration::from_millis(250);
/// A commit waits for the slowest member; longer than this and its outcome is unknown.
const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// What a writer knows about one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The node promised that the row is committed.
    Acknowledged {
        /// When the answer arrived.
        at: Instant,
    },
    /// The server said no: the row must not exist anywhere.
    Refused {
        /// Code and message.
        error: String,
    },
    /// Sent, but without an answer: it may exist or not.
    Unknown {
        /// What happened instead of an answer.
        error: String,
    },
}

/// One row that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The node that it was written through; also the writer's name.
    pub via: String,
    /// Counts the rows of this writer, from 0.
    pub counter: u64,
    /// When it was sent.
    pub sent: Instant,
    /// What became of it, as far as the writer knows.
    pub outcome: Outcome,
}

/// Everything that was written, and when.
#[derive(Debug, Clone, Default)]
pub struct WriteLog {
    /// All rows, in the order of their answers.
    pub rows: Vec<Row>,
}

impl WriteLog {
    /// From `moment` until the answer to the first accepted write that was sent after it.
    pub fn first_write_after(&self, moment: Instant) -> Option<Duration> {
        self.acknowledged()
            .filter(|(row, _)| row.sent >= moment)
            .map(|(_, at)| at.duration_since(moment))
            .min()
    }

    /// The longest time from `moment` on in which no write was acknowledged by anyone, with its
    /// begin. `None` if none was acknowledged after it.
    pub fn longest_gap_after(&self, moment: Instant) -> Option<(Instant, Duration)> {
        let mut times: Vec<Instant> =
            self.acknowledged().map(|(_, at)| at).filter(|at| *at >= moment).collect();
        times.sort();
        if !times.is_empty() {
            times.insert(0, moment);
        }
        let gaps = times.iter().zip(times.iter().skip(1));
        gaps.map(|(before, after)| (*before, after.duration_since(*before)))
            .max_by_key(|(_, gap)| *gap)
    }

    /// Rows that were acknowledged, each with the time of its answer.
    pub fn acknowledged(&self) -> impl Iterator<Item = (&Row, Instant)> {
        self.rows.iter().filter_map(|row| match row.outcome {
            Outcome::Acknowledged { at } => Some((row, at)),
            Outcome::Refused { .. } | Outcome::Unknown { .. } => None,
        })
    }

    /// Looks for every row on every node.
    ///
    /// # Errors
    /// If a node cannot be read.
    pub fn verify(&self, nodes: &[Node]) -> Result<Verification> {
        self.verify_without(nodes, &[])
    }

    /// As [`WriteLog::verify`], where some nodes were given up for lost: they are not asked, and
    /// lost rows that only they acknowledged are counted apart.
    ///
    /// # Errors
    /// If a node that is left cannot be read.
    pub fn verify_without(&self, nodes: &[Node], given_up: &[&str]) -> Result<Verification> {
        let left: Vec<&Node> = nodes.iter().filter(|n| !given_up.contains(&n.name())).collect();
        let held = verify::read_rows(&runtime()?, &left)?;
        Ok(verify::compare(self, &held, given_up))
    }
}

/// The running writers. Dropping it stops them.
#[derive(Debug)]
pub struct Client {
    log: Arc<Mutex<WriteLog>>,
    stop: watch::Sender<bool>,
    runtime: Runtime,
    writers: Vec<tokio::task::JoinHandle<()>>,
}

impl Client {
    /// Creates account and table through the first node that accepts them, and starts one writer
    /// for each node. Nodes may be off or out of reach then and at any time later.
    ///
    /// # Errors
    /// If no node accepts the table.
    pub fn start(nodes: &[Node]) -> Result<Self> {
        let created = nodes.iter().map(account::create);
        created
            .reduce(|done, next| if done.is_ok() { done } else { next })
            .context("a client for no nodes")?
            .context("no node accepts the client's table")?;
        let (runtime, log) = (runtime()?, Arc::new(Mutex::new(WriteLog::default())));
        let (stop, stopped) = watch::channel(false);
        let writers = nodes
            .iter()
            .map(|node| {
                let writer = Writer {
                    via: node.name().to_owned(),
                    options: account::options(node),
                    log: Arc::clone(&log),
                    counter: 0,
                };
                runtime.spawn(writer.run(stopped.clone()))
            })
            .collect();
        Ok(Self { log, stop, runtime, writers })
    }

    /// What was written so far.
    pub fn log(&self) -> WriteLog {
        lock(&self.log).clone()
    }

    /// Waits until `count` more rows have been acknowledged.
    ///
    /// # Errors
    /// If that takes longer than `limit`.
    pub fn wait_for_rows(&self, count: usize, limit: Duration) -> Result<()> {
        let before = lock(&self.log).acknowledged().count();
        wait_until(&format!("{count} more rows are acknowledged"), limit, || {
            let log = lock(&self.log);
            let more = log.acknowledged().count() - before;
            Wait::of(more >= count, || format!("{more} rows; {}", last_trouble(&log)))
        })
    }

    /// Waits until a row sent after `moment` is acknowledged, and gives how long that took.
    ///
    /// # Errors
    /// If that takes longer than `limit` from now.
    pub fn wait_first_write(&self, moment: Instant, limit: Duration) -> Result<Duration> {
        wait_until("a write is accepted", limit, || {
            let log = lock(&self.log);
            match log.first_write_after(moment) {
                Some(took) => Wait::Done(took),
                None => Wait::Not(last_trouble(&log)),
            }
        })
    }

    /// Stops all writers; the rows that are under way get their answers or their time-outs.
    pub fn stop(mut self) -> WriteLog {
        // Fails only if all writers have ended, and then nobody needs to be told.
        let _ = self.stop.send(true);
        for writer in std::mem::take(&mut self.writers) {
            // A writer that panicked has logged what it knew.
            let _ = self.runtime.block_on(writer);
        }
        lock(&self.log).clone()
    }
}

fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("failed to start the client's runtime")
}

fn lock(log: &Mutex<WriteLog>) -> MutexGuard<'_, WriteLog> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

fn last_trouble(log: &WriteLog) -> String {
    let last = log.rows.iter().rev().find_map(|row| match &row.outcome {
        Outcome::Acknowledged { .. } => None,
        Outcome::Refused { error } => Some(format!("{} refused: {error}", row.via)),
        Outcome::Unknown { error } => Some(format!("{} unknown: {error}", row.via)),
    });
    last.unwrap_or_else(|| "no row was refused".to_owned())
}

struct Writer {
    via: String,
    options: Opts,
    log: Arc<Mutex<WriteLog>>,
    counter: u64,
}

impl Writer {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut connection: Option<Conn> = None;
        while !*stopped.borrow() {
            let pause = match connection.take() {
                Some(open) => {
                    connection = self.write(open).await;
                    if connection.is_some() { PACE } else { RETRY_PAUSE }
                }
                None => match account::connect(&self.options, CONNECT_LIMIT).await {
                    Ok(open) => {
                        connection = Some(open);
                        Duration::ZERO
                    }
                    Err(_) => RETRY_PAUSE,
                },
            };
            tokio::select! {
                () = sleep(pause) => {}
                _ = stopped.changed() => {}
            }
        }
    }

    /// Writes one row and gives the connection back, if it can be used again.
    async fn write(&mut self, mut connection: Conn) -> Option<Conn> {
        let counter = self.counter;
        self.counter += 1;
        let statement = format!("INSERT INTO {TABLE} VALUES ('{}', {counter})", self.via);
        let sent = Instant::now();
        let answer = timeout(WRITE_LIMIT, connection.query_drop(statement)).await;
        let outcome = match answer {
            Ok(Ok(())) => Outcome::Acknowledged { at: Instant::now() },
            Ok(Err(mysql_async::Error::Server(error))) => judge_server_error(&error),
            Ok(Err(error)) => Outcome::Unknown { error: error.to_string() },
            Err(_) => Outcome::Unknown { error: format!("no answer within {WRITE_LIMIT:?}") },
        };
        let usable = matches!(outcome, Outcome::Acknowledged { .. });
        lock(&self.log).rows.push(Row { via: self.via.clone(), counter, sent, outcome });
        usable.then_some(connection)
    }
}

/// Most errors mean that nothing was written. These may be sent after the write-set has left the
/// node, so they promise nothing: 1047 at commit, a query that was interrupted, a lost connection,
/// a shutdown.
fn judge_server_error(error: &mysql_async::ServerError) -> Outcome {
    const PROMISES_NOTHING: &[u16] = &[1047, 1053, 1180, 1205, 1317, 1927, 2013];
    let text = error.to_string();
    if PROMISES_NOTHING.contains(&error.code) {
        Outcome::Unknown { error: text }
    } else {
        Outcome::Refused { error: text }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn row(counter: u64, sent: Instant, answered: Option<u64>) -> Row {
        let outcome = match answered {
            Some(ms) => Outcome::Acknowledged { at: sent + Duration::from_millis(ms) },
            None => Outcome::Unknown { error: "silence".to_owned() },
        };
        Row { via: "db-a".to_owned(), counter, sent, outcome }
    }

    #[test]
    fn a_write_that_was_sent_before_the_moment_is_not_the_first_after_it() {
        let moment = Instant::now() + Duration::from_secs(60);
        let later = |ms| moment + Duration::from_millis(ms);
        let early = moment.checked_sub(Duration::from_millis(5)).unwrap();
        let log = WriteLog {
            rows: vec![
                row(0, early, Some(30)),
                row(1, later(100), None),
                row(2, later(400), Some(9)),
            ],
        };
        assert_eq!(log.first_write_after(moment), Some(Duration::from_millis(409)));
        assert_eq!(log.first_write_after(later(500)), None);
        assert_eq!(log.longest_gap_after(later(500)), None);
        let only_last = log.longest_gap_after(later(90)).unwrap();
        assert_eq!(only_last, (later(90), Duration::from_millis(319)));
        let (begin, gap) = log.longest_gap_after(moment).unwrap();
        assert_eq!((begin, gap), (early + Duration::from_millis(30), Duration::from_millis(384)));
    }

    #[test]
    fn an_error_after_the_write_set_may_have_left_promises_nothing() {
        let error = |code| mysql_async::ServerError {
            code,
            message: "words".to_owned(),
            state: "HY000".to_owned(),
        };
        assert!(matches!(judge_server_error(&error(1047)), Outcome::Unknown { .. }));
        assert!(matches!(judge_server_error(&error(1290)), Outcome::Refused { .. }));
    }
}
