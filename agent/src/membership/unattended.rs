//! `join` without a person: the token lies in a file, or in a credential of systemd.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use relight_proto::v1::{JoinRequest, Progress};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::join::join;
use super::progress::Report;
use crate::daemon::host::Host;
use crate::failure::chain;

/// Name of the systemd credential that holds a join token.
const JOIN_CREDENTIAL: &str = "relight.join-token";

/// Where the token is: a file that was named, or the credential. Such a file is waited for; the
/// credential is there from the start or never.
fn token_path(named: Option<PathBuf>, credential: Option<PathBuf>) -> Option<PathBuf> {
    let is_there = |path: &PathBuf| path.exists();
    named.clone().filter(is_there).or(credential.filter(is_there)).or(named)
}

/// A token in a file or a systemd credential joins at the first start, without a person.
pub fn join_unattended(host: &Arc<Host>) {
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
        .map(|directory| Path::new(&directory).join(JOIN_CREDENTIAL));
    let Some(path) = token_path(host.config.join_token_file.clone(), credential) else { return };
    let host = host.clone();
    tokio::spawn(async move {
        let mut pause = Duration::from_secs(1);
        // Nobody wants to be told the same each minute, and a person may join meanwhile.
        let mut told = None;
        while host.member().await.is_none() {
            let token = match std::fs::read_to_string(&path) {
                Ok(text) => text.trim().to_owned(),
                Err(error) => {
                    let why = chain(&error);
                    if told.as_ref() != Some(&why) {
                        warn!(why, path = %path.display(), "the join token cannot be read yet");
                        told = Some(why);
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(60));
                    continue;
                }
            };
            let (lines, mut said) = mpsc::channel::<Result<Progress, tonic::Status>>(64);
            tokio::spawn(async move {
                while let Some(Ok(line)) = said.recv().await {
                    info!(step = line.step, "{}", line.text);
                }
            });
            let request = JoinRequest { token, ..JoinRequest::default() };
            match join(&host, &request, &Report::new(lines)).await {
                Ok(()) => return,
                Err(failure) => warn!(why = %failure, hint = failure.hint, "not joined yet"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(60));
        }
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_token_file_that_is_not_there_yet_hides_no_credential_and_is_waited_for() {
        let folder = tempfile::TempDir::new().unwrap();
        let (there, away) = (folder.path().join("there"), folder.path().join("away"));
        std::fs::write(&there, "relight1.x").unwrap();
        let path = |named: Option<&PathBuf>, credential: Option<&PathBuf>| {
            token_path(named.cloned(), credential.cloned())
        };
        assert_eq!(path(Some(&there), None), Some(there.clone()));
        assert_eq!(path(Some(&away), Some(&there)), Some(there.clone()));
        assert_eq!(path(Some(&away), Some(&away)), Some(away.clone()));
        assert_eq!(path(None, Some(&away)), None, "a node that nobody gave one");
        assert_eq!(path(None, Some(&there)), Some(there));
    }
}
