//! Lines on their way to the journal.
//!
//! journald takes datagrams from a socket that all services share. While it stands still, because
//! its disk does, whoever writes there waits: gossip, votes and the start gate would stand still
//! with it. So a thread of its own writes, and what does not fit its queue is counted and dropped.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, Log, Metadata, Record};

/// How many lines may wait: far more than an agent says in a recovery.
const WAITING_MAX: usize = 1024;
/// How long the end of the process waits for lines that are still on their way.
const FLUSH_MAX: Duration = Duration::from_secs(2);

enum Sent {
    Line(Box<Line>),
    /// Told when all lines before it are written.
    Mark(SyncSender<()>),
}

/// A record that outlives the call that made it.
struct Line {
    level: Level,
    text: String,
    target: String,
    module: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    fields: Vec<(String, String)>,
}

struct Pairs(Vec<(String, String)>);

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.0.push((key.to_string(), value.to_string()));
        Ok(())
    }
}

impl Line {
    fn of(record: &Record<'_>) -> Self {
        let mut fields = Pairs(Vec::new());
        // Collecting cannot fail.
        let _ = record.key_values().visit(&mut fields);
        Self {
            level: record.level(),
            text: record.args().to_string(),
            target: record.target().to_owned(),
            module: record.module_path().map(str::to_owned),
            file: record.file().map(str::to_owned),
            line: record.line(),
            fields: fields.0,
        }
    }

    fn write(&self, sink: &impl Log) {
        let fields: Vec<(&str, &str)> =
            self.fields.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        sink.log(
            &Record::builder()
                .args(format_args!("{}", self.text))
                .level(self.level)
                .target(&self.target)
                .module_path(self.module.as_deref())
                .file(self.file.as_deref())
                .line(self.line)
                .key_values(&fields)
                .build(),
        );
    }
}

/// A log that never waits for the one behind it.
#[derive(Clone)]
pub struct Queue {
    sender: SyncSender<Sent>,
    dropped: Arc<AtomicU64>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("dropped", &self.dropped).finish_non_exhaustive()
    }
}

impl Queue {
    /// Begins to write to `sink`, in a thread that ends with the last clone of this.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn before(sink: impl Log + 'static) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let count = dropped.clone();
        let writer = thread::Builder::new().name("journal".to_owned());
        writer.spawn(move || write(&receiver, &sink, &count))?;
        Ok(Self { sender, dropped })
    }
}

impl Log for Queue {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = Sent::Line(Box::new(Line::of(record)));
        if let Err(TrySendError::Full(_)) = self.sender.try_send(line) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything before is written, but not for long.
    fn flush(&self) {
        let (written, wait) = sync_channel(1);
        if self.sender.try_send(Sent::Mark(written)).is_ok() {
            let _ = wait.recv_timeout(FLUSH_MAX);
        }
    }
}

fn write(lines: &Receiver<Sent>, sink: &impl Log, dropped: &AtomicU64) {
    for sent in lines {
        match sent {
            Sent::Line(line) => line.write(sink),
            Sent::Mark(written) => {
                let _ = written.try_send(());
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let text = format!("{lost} lines of the log were dropped: the journal stood still");
            let (module, file, line, fields) = (None, None, None, Vec::new());
            let (level, target) = (Level::Warn, "relight::journal".to_owned());
            Line { level, text, target, module, file, line, fields }.write(sink);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// A journal that takes a line only when it is let.
    struct Stuck {
        let_go: Mutex<Receiver<()>>,
        taken: Sender<String>,
    }

    impl Log for Stuck {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            let _ = self.let_go.lock().unwrap().recv();
            let _ = self.taken.send(record.args().to_string());
        }

        fn flush(&self) {}
    }

    fn say(queue: &Queue, text: &str) {
        queue.log(&Record::builder().args(format_args!("{text}")).level(Level::Info).build());
    }

    #[test]
    fn a_journal_that_stands_still_holds_nobody_up_and_what_was_dropped_is_told() {
        let (release, let_go) = channel();
        let (taken, lines) = channel();
        let queue = Queue::before(Stuck { let_go: Mutex::new(let_go), taken }).unwrap();
        // More than can wait, while not one line is taken: none of these calls may block.
        for number in 0..WAITING_MAX + 100 {
            say(&queue, &number.to_string());
        }
        drop(release);
        let limit = Duration::from_secs(30);
        assert_eq!(lines.recv_timeout(limit).unwrap(), "0");
        let told = lines.recv_timeout(limit).unwrap();
        assert!(told.ends_with("lines of the log were dropped: the journal stood still"), "{told}");
        assert_eq!(lines.recv_timeout(limit).unwrap(), "1");
        queue.flush();
        say(&queue, "last");
        queue.flush();
        assert_eq!(lines.try_iter().last().unwrap(), "last", "what was flushed is written");
    }
}
