//! What the start gate's client and the agent say to each other.
//!
//! One connection to `<run_dir>/gate.sock`, one line of JSON each way, then the end. The client is
//! `relightd gate check` (`ExecCondition=`), `relightd gate admit` (last `ExecStartPre=`) or
//! `relightd bootstrap`, all as root on this machine. The agent checks the peer's user by the
//! socket; nothing in a request is a secret.
//!
//! The agent syncs the use of a permit before it answers `admit: true` in phase `admit` (R3). An
//! answer that cannot be read, or none in time, is a refusal.

use relight_core::ids::Epoch;
use serde::{Deserialize, Serialize};

/// Name of the socket in the run directory.
pub const GATE_SOCKET: &str = "gate.sock";

/// Version of this protocol, in every request. A daemon that is asked in another one refuses.
pub const GATE_VERSION: u16 = 1;

/// The longest line on the wire, bytes, its newline included.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// A question of the gate's client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateRequest {
    /// [`GATE_VERSION`].
    pub version: u16,
    /// Which step of the start asks.
    pub phase: Phase,
    /// Every bootstrap flag that this start would see; empty for an ordinary one.
    pub bootstrap: Vec<BootstrapFlag>,
    /// `wsrep_cluster_name` in the effective configuration; absent if unset or unreadable (R13).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// systemd's id of this run of the unit (`INVOCATION_ID`): `check` and `admit` of one start
    /// carry the same one, so that a permit cannot be checked by one start and used by another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<String>,
}

/// Which step asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Before anything of the unit runs: would a start be let through? Uses nothing up.
    Check,
    /// Last before the server's own command: lets this start through and uses the permit up.
    Admit,
    /// From `relight-bootstrap.service`, before it sets the flag: is there a fresh permit to
    /// bootstrap? Uses nothing up; the start that follows passes both other phases.
    #[value(skip)]
    Bootstrap,
}

/// Where a bootstrap flag was found (facts/galera.md 1.5, H5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum BootstrapFlag {
    /// A flag file of the distribution, or an environment file of the unit.
    File {
        /// Its path.
        path: String,
    },
    /// A variable in the environment that the start would get.
    Environment {
        /// Its name.
        name: String,
    },
    /// The unit's own command line.
    CommandLine,
    /// An option in the server's configuration files: `wsrep_new_cluster`, or a
    /// `wsrep_cluster_address` without a member. No permit allows it, because it would bootstrap
    /// again at every start.
    Configuration {
        /// The option as it stands there.
        option: String,
    },
}

/// The agent's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateAnswer {
    /// Whether the start may go on.
    pub admit: bool,
    /// How; absent with a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<StartMode>,
    /// The epoch of the permit; absent with a refusal and in mode `open`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Why, in one sentence for the person at the terminal.
    pub reason: String,
    /// What that person can do next: a command, or what will happen by itself.
    pub next: String,
}

/// What a start is allowed to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartMode {
    /// All members of the last view start together with their positions (R9).
    Reform,
    /// This start forms a new primary component. The only mode in which a bootstrap flag must be
    /// there, and the only one in which it may (R15).
    Bootstrap,
    /// A primary component exists; this server joins it.
    Join,
    /// The position may be recovered, the server may not start: passes `check`, never `admit`.
    RecoverOnly,
    /// The gate is open by an operator's order; nothing is known about this start.
    Open,
}

impl GateAnswer {
    /// A refusal.
    #[must_use]
    pub fn refusal(reason: impl Into<String>, next: impl Into<String>) -> Self {
        Self { admit: false, mode: None, epoch: None, reason: reason.into(), next: next.into() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_words_on_the_wire_stay() {
        let request = GateRequest {
            version: GATE_VERSION,
            phase: Phase::Admit,
            bootstrap: vec![
                BootstrapFlag::File { path: "/run/x".into() },
                BootstrapFlag::CommandLine,
            ],
            group: Some("prod.f1".into()),
            invocation: None,
        };
        let text = r#"{"version":1,"phase":"admit","bootstrap":[{"kind":"file","path":"/run/x"},{"kind":"command-line"}],"group":"prod.f1"}"#;
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert_eq!(serde_json::from_str::<GateRequest>(text).unwrap(), request);

        let answer = GateAnswer {
            admit: true,
            mode: Some(StartMode::RecoverOnly),
            epoch: Some(Epoch(4)),
            reason: "r".into(),
            next: "n".into(),
        };
        let text = r#"{"admit":true,"mode":"recover-only","epoch":4,"reason":"r","next":"n"}"#;
        assert_eq!(serde_json::to_string(&answer).unwrap(), text);
        assert_eq!(serde_json::from_str::<GateAnswer>(text).unwrap(), answer);
    }

    #[test]
    fn an_answer_without_admit_is_no_answer() {
        assert!(serde_json::from_str::<GateAnswer>(r#"{"reason":"","next":""}"#).is_err());
    }
}
