//! Whether the agent will be able to ask the server, before anything is changed.
//!
//! A member whose agent cannot ask its server would start it, closed to writes, and never open it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use tokio::time::{Instant, sleep};

use super::ground::Ground;
use super::progress::Report;
use crate::daemon::host::Host;
use crate::failure::Failure;
use crate::server::connection::Freshness;
use crate::server::facts::ServerAnswer;
use crate::server::options::hidden_files;

/// How long a server that is on its way up is waited for.
const COMES_UP_MAX: Duration = Duration::from_secs(60);
/// How long one that runs is asked, before what it says counts.
const ASKED_MAX: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(300);

/// Asks the server that runs, or looks where the one that is off will listen.
///
/// # Errors
/// It cannot be asked, with what to do.
pub async fn check(host: &Host, ground: &Ground, report: &Report) -> Result<(), Failure> {
    match ground {
        Ground::RunningGalera | Ground::RunningAlone => running(host, report).await,
        Ground::StoppedAlone | Ground::StoppedGalera { .. } => stopped(host).await,
        Ground::NoDatabase | Ground::Unclear { .. } => Ok(()),
    }
}

async fn running(host: &Host, report: &Report) -> Result<(), Failure> {
    let (server, unit, begun) = (host.server(), &host.hands.unit, Instant::now());
    loop {
        let answer = server.ask(Freshness::Anew).await;
        let patience = match answer {
            ServerAnswer::Live(_) | ServerAnswer::Refused { .. } => return Ok(()),
            ServerAnswer::Absent => {
                let state = host.hands.systemd.state(unit).await;
                let off = |active: &str| matches!(active, "inactive" | "failed");
                if state.is_ok_and(|it| off(&it.active)) && begun.elapsed() >= ASKED_MAX {
                    return Err(Failure::refused(
                        format!("a server uses the data directory, and {unit} does not run it"),
                        format!(
                            "stop it and `systemctl start {unit}`; or name its unit under [units] \
                             in /etc/relight/relight.toml"
                        ),
                    ));
                }
                COMES_UP_MAX
            }
            ServerAnswer::Silent
            | ServerAnswer::Elsewhere { .. }
            | ServerAnswer::Unasked { .. } => ASKED_MAX,
        };
        if begun.elapsed() >= patience {
            return Err(unasked(&answer, server.socket().await.ok()));
        }
        report.started("wait", format!("the server to be asked: {}", answer.words())).await;
        sleep(PAUSE).await;
    }
}

fn unasked(answer: &ServerAnswer, socket: Option<PathBuf>) -> Failure {
    let what = format!("the running server cannot be asked: {}", answer.words());
    let named = socket.unwrap_or_default();
    let named = named.display();
    let hint = match answer {
        ServerAnswer::Elsewhere { .. } => format!(
            "`ss -xlp | grep mariadbd` shows where it listens; restart it, so that it takes what \
             its configuration says, or set `socket` under [mysqld]: {named} is configured now"
        ),
        ServerAnswer::Unasked { .. } => format!(
            "the user relight has to reach it: `namei -l {named}` shows the closed folder; open \
             it with chmod o+x, or set another `socket` under [client-server]"
        ),
        ServerAnswer::Live(_)
        | ServerAnswer::Absent
        | ServerAnswer::Refused { .. }
        | ServerAnswer::Silent => "see `journalctl -u mariadb`".to_owned(),
    };
    Failure::refused(what, hint)
}

async fn stopped(host: &Host) -> Result<(), Failure> {
    let unknown = |why: String| {
        let what = format!("it is not known where the server will listen: {why}");
        Failure::refused(what, "`my_print_defaults --mysqld | grep socket` shows what it is told")
    };
    let socket = host.server().socket().await.map_err(unknown)?;
    let hidden = tokio::task::spawn_blocking(hidden_files).await.unwrap_or_default();
    if let Some(file) = hidden.first() {
        let file = file.display();
        return Err(Failure::refused(
            format!("the agent may not read {file}, which can say where the server listens"),
            format!("start the server first, so that it can be asked; or chmod o+r {file}"),
        ));
    }
    match closed_above(&socket) {
        None => Ok(()),
        Some(folder) => {
            let (folder, socket) = (folder.display(), socket.display());
            Err(Failure::refused(
                format!(
                    "the user relight may not enter {folder}, and the server's socket is {socket}"
                ),
                format!("chmod o+x {folder}; or set another `socket` under [client-server]"),
            ))
        }
    }
}

/// The first folder above the socket that this user may not enter. One that is not there yet is
/// made by whoever starts the server.
fn closed_above(socket: &Path) -> Option<PathBuf> {
    let above: Vec<&Path> = socket.ancestors().skip(1).collect();
    let closed = |folder: &&&Path| access(**folder, AccessFlags::X_OK) == Err(Errno::EACCES);
    above.iter().rev().find(closed).map(|folder| folder.to_path_buf())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_folder_that_keeps_the_agent_out_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        assert_eq!(closed_above(&data.join("deeper/my.sock")), None);
        fs::set_permissions(&data, fs::Permissions::from_mode(0o600)).unwrap();
        // Root may go everywhere.
        let expected = (!nix::unistd::geteuid().is_root()).then(|| data.clone());
        assert_eq!(closed_above(&data.join("my.sock")), expected);
    }

    #[test]
    fn each_way_not_to_be_asked_has_its_own_hint() {
        let socket = || Some(PathBuf::from("/srv/db/my.sock"));
        let hint = |answer: ServerAnswer| unasked(&answer, socket()).hint;
        let elsewhere = hint(ServerAnswer::Elsewhere { socket: "/srv/db/my.sock".into() });
        assert!(elsewhere.contains("ss -xlp") && elsewhere.contains("/srv/db/my.sock"));
        let closed = hint(ServerAnswer::Unasked { why: "Permission denied".into() });
        assert!(closed.contains("namei -l /srv/db/my.sock"), "{closed}");
    }
}
