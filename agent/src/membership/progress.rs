//! Tells how a long piece of work goes on, line by line.

use relight_proto::v1::Progress;
use relight_proto::v1::progress::State;
use tokio::sync::mpsc;
use tonic::Status;

/// The way to whoever waits. Nobody waiting any more is no reason to stop.
#[derive(Debug, Clone)]
pub struct Report {
    lines: mpsc::Sender<Result<Progress, Status>>,
}

impl Report {
    /// A report into this channel.
    #[must_use]
    pub fn new(lines: mpsc::Sender<Result<Progress, Status>>) -> Self {
        Self { lines }
    }

    async fn line(&self, step: &str, state: State, text: impl Into<String>) {
        let line = Progress {
            step: step.to_owned(),
            state: i32::from(state),
            text: text.into(),
            finished: false,
        };
        let _ = self.lines.send(Ok(line)).await;
    }

    /// Will be done.
    pub async fn planned(&self, step: &str, text: impl Into<String>) {
        self.line(step, State::Planned, text).await;
    }

    /// Has begun.
    pub async fn started(&self, step: &str, text: impl Into<String>) {
        self.line(step, State::Started, text).await;
    }

    /// Is done.
    pub async fn done(&self, step: &str, text: impl Into<String>) {
        self.line(step, State::Done, text).await;
    }

    /// Was so already.
    pub async fn skipped(&self, step: &str, text: impl Into<String>) {
        self.line(step, State::Skipped, text).await;
    }

    /// Was taken back.
    pub async fn undone(&self, step: &str, text: impl Into<String>) {
        self.line(step, State::Undone, text).await;
    }

    /// A remark.
    pub async fn note(&self, text: impl Into<String>) {
        self.line("", State::Note, text).await;
    }

    /// The end.
    pub async fn finish(&self, text: impl Into<String>) {
        let line = Progress {
            step: "finished".to_owned(),
            state: i32::from(State::Done),
            text: text.into(),
            finished: true,
        };
        let _ = self.lines.send(Ok(line)).await;
    }
}
