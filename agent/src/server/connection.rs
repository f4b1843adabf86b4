//! The one connection over which the agent asks the local server, with short time-outs.
//!
//! A frozen server still accepts connections (facts/galera.md 1.9), so only an answer counts, and
//! no answer in time is a state of its own.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mysql_async::{Conn, Opts, OptsBuilder};
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::timeout;

use super::door::Door;
use super::facts::{self, Run, ServerAnswer, ServerFacts};

/// How long one round of questions may take.
const ANSWER_MAX: Duration = Duration::from_millis(1500);

/// Whether an answer may be to a question that was put before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// The question is put now: whoever permits something needs that (R2).
    Anew,
    /// Of a question that is under way the answer will do. A server that hangs lets each wait for
    /// [`ANSWER_MAX`], and all who want to know would wait one after the other.
    UnderWay,
}

/// A connection, and which one it is.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) conn: Conn,
    run: Run,
}

/// The way to the local server.
#[derive(Debug)]
pub struct ServerConnection {
    door: Door,
    user: &'static str,
    connection: Mutex<Option<Kept>>,
    /// Counts connections.
    made: AtomicU64,
    /// The last answer; nothing when whoever asked went away before it came.
    answered: watch::Sender<Option<ServerAnswer>>,
}

/// Tells those who wait for a question under way, also when its asker goes away.
struct Asking<'a> {
    answered: &'a watch::Sender<Option<ServerAnswer>>,
    answer: Option<ServerAnswer>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.answered.send_replace(self.answer.take());
    }
}

/// What it takes to come in as `user`, authenticated by the socket.
pub(super) fn options(socket: &Path, user: &str) -> Opts {
    OptsBuilder::default()
        .user(Some(user))
        .socket(Some(socket.to_string_lossy()))
        .prefer_socket(true)
        // What the driver would ask for at each connection otherwise.
        .max_allowed_packet(Some(16 * 1024 * 1024))
        .wait_timeout(Some(28_800))
        .into()
}

impl ServerConnection {
    /// The way through this door as `user`. Nobody connects before somebody asks.
    #[must_use]
    pub fn new(door: Door, user: &'static str) -> Self {
        Self {
            door,
            user,
            connection: Mutex::new(None),
            made: AtomicU64::new(0),
            answered: watch::Sender::new(None),
        }
    }

    /// Where the server listens, or why that is not known.
    ///
    /// # Errors
    /// In words.
    pub async fn socket(&self) -> Result<PathBuf, String> {
        self.door.socket().await
    }

    /// One round of questions.
    pub async fn ask(&self, freshness: Freshness) -> ServerAnswer {
        let mut answered = self.answered.subscribe();
        let slot = match self.connection.try_lock() {
            Ok(slot) => slot,
            Err(_) => {
                if freshness == Freshness::UnderWay && answered.changed().await.is_ok() {
                    let answer = answered.borrow().clone();
                    if let Some(answer) = answer {
                        return answer;
                    }
                }
                self.connection.lock().await
            }
        };
        self.put(slot).await
    }

    async fn put(&self, mut slot: MutexGuard<'_, Option<Kept>>) -> ServerAnswer {
        let mut asking = Asking { answered: &self.answered, answer: None };
        let kept = slot.is_some();
        let answer = match self.try_once(&mut slot).await {
            // A kept connection says nothing about a server that was started again since.
            Err(_) if kept => self.try_once(&mut slot).await.unwrap_or_else(|answer| answer),
            Ok(answer) | Err(answer) => answer,
        };
        asking.answer = Some(answer.clone());
        answer
    }

    /// One try; after a failure the next one begins with a new connection.
    ///
    /// The connection is out of its slot while it is in use: whoever asks may go away in the middle
    /// (a caller over the network does), and what is left of an answer would be taken for the
    /// answer to the next question.
    async fn try_once(&self, slot: &mut Option<Kept>) -> Result<ServerAnswer, ServerAnswer> {
        let way = match slot.take() {
            Some(kept) => Way::Kept(kept),
            None => Way::To(self.door.way().await?),
        };
        match timeout(ANSWER_MAX, self.facts(way)).await {
            Ok(Ok((facts, kept))) => {
                *slot = Some(kept);
                Ok(ServerAnswer::Live(Box::new(facts)))
            }
            Ok(Err(answer)) => Err(answer),
            Err(_) => Ok(ServerAnswer::Silent),
        }
    }

    async fn facts(&self, way: Way) -> Result<(ServerFacts, Kept), ServerAnswer> {
        let mut kept = match way {
            Way::Kept(kept) => kept,
            Way::To(socket) => {
                let run = Run(self.made.fetch_add(1, Ordering::Relaxed).wrapping_add(1));
                Kept { conn: self.dial(socket).await?, run }
            }
        };
        let asked = facts::ask(&mut kept.conn, kept.run).await;
        Ok((asked.map_err(|error| classify(&error))?, kept))
    }

    /// A connection to a server that is proven to run.
    pub(super) async fn connect(&self) -> Result<Conn, ServerAnswer> {
        let socket = self.door.way().await?;
        self.dial(socket).await
    }

    async fn dial(&self, socket: PathBuf) -> Result<Conn, ServerAnswer> {
        let options = OptsBuilder::from_opts(options(&socket, self.user))
            .init(vec!["SET SESSION wsrep_sync_wait = 0"]);
        match Conn::new(options).await {
            Ok(conn) => Ok(conn),
            Err(error) => match classify(&error) {
                ServerAnswer::Absent => Err(self.door.nobody_at(socket).await),
                ServerAnswer::Unasked { why } => {
                    let why = format!("the agent may not reach {}: {why}", socket.display());
                    Err(ServerAnswer::Unasked { why })
                }
                other @ (ServerAnswer::Live(_)
                | ServerAnswer::Elsewhere { .. }
                | ServerAnswer::Refused { .. }
                | ServerAnswer::Silent) => Err(other),
            },
        }
    }

    /// Whether the server is still the run that was looked at, as far as nobody has noticed
    /// otherwise.
    pub async fn is_in(&self, run: Run) -> bool {
        self.connection.lock().await.as_ref().is_some_and(|kept| kept.run == run)
    }

    /// The kept connection, if it is the one of this run.
    pub(super) async fn take(&self, run: Run) -> Option<Kept> {
        let mut slot = self.connection.lock().await;
        slot.take_if(|kept| kept.run == run)
    }

    /// Gives back what was taken; a connection that was made meanwhile stays.
    pub(super) async fn give_back(&self, kept: Kept) {
        self.connection.lock().await.get_or_insert(kept);
    }
}

/// How the server is asked.
enum Way {
    Kept(Kept),
    To(PathBuf),
}

fn classify(error: &mysql_async::Error) -> ServerAnswer {
    match error {
        mysql_async::Error::Server(server) => ServerAnswer::Refused { why: server.to_string() },
        // Only these two prove that nobody listens. A full backlog or too many open files are no
        // answer (R2).
        mysql_async::Error::Io(mysql_async::IoError::Io(io))
            if matches!(io.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
        {
            ServerAnswer::Absent
        }
        mysql_async::Error::Io(mysql_async::IoError::Io(io))
            if io.kind() == ErrorKind::PermissionDenied =>
        {
            ServerAnswer::Unasked { why: io.to_string() }
        }
        mysql_async::Error::Io(_) => ServerAnswer::Silent,
        other @ (mysql_async::Error::Driver(_)
        | mysql_async::Error::Other(_)
        | mysql_async::Error::Url(_)) => ServerAnswer::Refused { why: other.to_string() },
    }
}
