//! What this node knows of its certificates, and what it warns of in `status`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use relight_core::certificate::{ServerHas, Standing, Used, Worry};
use time::OffsetDateTime;

/// What this life of the daemon knows.
#[derive(Debug, Default)]
pub struct Certificates(Mutex<Known>);

/// Shared with nobody for longer than it takes to look.
#[derive(Debug, Default, Clone)]
struct Known {
    /// Why the last try to renew failed.
    renewal_failure: Option<String>,
    /// What the server has, where its certificates are ours.
    server: Option<ServerHas>,
    /// Why the last try to have the server use the newest certificate failed.
    server_failure: Option<String>,
}

impl Certificates {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the last try to renew ended.
    pub fn renewal_ended(&self, failure: Option<String>) {
        self.known().renewal_failure = failure;
    }

    /// What the server has.
    #[must_use]
    pub fn server_has(&self) -> ServerHas {
        self.known().server.unwrap_or_default()
    }

    /// The server is off: nothing of it is warned of.
    pub fn stopped(&self) {
        let mut known = self.known();
        if let Some(server) = &mut known.server {
            server.stopped();
        }
        known.server_failure = None;
    }

    /// The server uses certificates of its own, or none.
    pub fn foreign_server(&self) {
        let mut known = self.known();
        (known.server, known.server_failure) = (None, None);
    }

    /// The server's files hold this certificate.
    pub fn wrote(&self, used: Used) {
        let mut known = self.known();
        known.server.get_or_insert_default().wrote(used);
        known.server_failure = None;
    }

    /// The server has loaded this certificate.
    pub fn loaded(&self, used: Used) {
        let mut known = self.known();
        known.server.get_or_insert_default().has_loaded(used);
        known.server_failure = None;
    }

    /// A try to have the server use the newest certificate failed.
    pub fn server_failed(&self, why: String) {
        let mut known = self.known();
        known.server.get_or_insert_default();
        known.server_failure = Some(why);
    }

    /// What a person should look at. `standing` says what does not stand here.
    #[must_use]
    pub fn warnings(&self, standing: Standing, now: u64) -> Vec<String> {
        let known = self.known().clone();
        let standing = Standing {
            renewal_failed: known.renewal_failure.is_some(),
            server: known.server,
            server_failed: known.server_failure.is_some(),
            ..standing
        };
        let worries = standing.worries(now);
        worries.into_iter().map(|worry| words(worry, &known, now)).collect()
    }
}

fn words(worry: Worry, known: &Known, now: u64) -> String {
    let why = |failure: &Option<String>| failure.clone().unwrap_or_default();
    match worry {
        Worry::ClockBehind { made } => format!(
            "certificate: the clock stands before {}, when the certificate was made: it is not \
             renewed before the clock is set",
            date(made)
        ),
        Worry::NotRenewed { ends } => format!(
            "certificate: it was not renewed and {}: {}",
            end(ends, now),
            why(&known.renewal_failure)
        ),
        Worry::AgentNearEnd { ends } => {
            format!("certificate: the agent's {} and should have been renewed", end(ends, now))
        }
        Worry::NotLoaded { ends: Some(ends) } => format!(
            "certificate: the server could not be given the newest one, and its own {}: {}",
            end(ends, now),
            why(&known.server_failure)
        ),
        Worry::NotLoaded { ends: None } => format!(
            "certificate: the server could not be given the newest one, and which one it uses is \
             not known: {}",
            why(&known.server_failure)
        ),
        Worry::ServerNearEnd { ends } => format!(
            "certificate: the one that the server uses {} and should have been renewed",
            end(ends, now)
        ),
        Worry::CaNearEnd { ends } => {
            format!(
                "certificate: the cluster's CA {}: nothing is signed beyond that",
                end(ends, now)
            )
        }
    }
}

fn end(ends: u64, now: u64) -> String {
    let verb = if ends < now { "ended at" } else { "ends at" };
    format!("{verb} {}", date(ends))
}

/// As people read it; a time that no calendar has is told in seconds.
fn date(unix_secs: u64) -> String {
    let moment = i64::try_from(unix_secs)
        .ok()
        .and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok());
    match moment {
        Some(moment) => {
            let (hour, minute, second) = moment.to_hms();
            format!("{} {hour:02}:{minute:02}:{second:02} UTC", moment.date())
        }
        None => format!("{unix_secs} s after 1970"),
    }
}

#[cfg(test)]
#[path = "certificates/tests.rs"]
mod tests;
