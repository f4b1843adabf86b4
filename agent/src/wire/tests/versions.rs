//! Agents of different versions, as people see them.

use relight_core::ledger::format::{Format, TooOld, Understood};

use super::*;
use crate::sample::{document, node, picture, stranger, synced, with};

/// A cluster in format 1, with what its nodes said of themselves.
fn mixed(said: &[(u64, Format)]) -> Picture {
    let old = Document { format: Format::ONE, ..document() }.as_written();
    let all = picture(old, [synced(1), synced(2), synced(3)]);
    let said: Understood = said.iter().map(|(number, format)| (node(*number), *format)).collect();
    with(all, |member| member.understood = said)
}

#[test]
fn the_nodes_that_hold_the_format_are_named() {
    let warned = |said: &[(u64, Format)]| cluster_status(&mixed(said)).warnings;
    assert_eq!(
        warned(&[(1, Format::TWO), (2, Format::TWO), (3, Format::ONE)]),
        ["the agents are of different versions: db-c is older; format 1 stays in force until all \
          understand format 2"]
    );
    assert_eq!(
        warned(&[(1, Format::TWO), (2, Format::ONE)]),
        ["the agents are of different versions: db-b is older, db-c is not heard yet; format 1 \
          stays in force until all understand format 2"]
    );
    assert_eq!(warned(&[(1, Format::ONE), (2, Format::ONE), (3, Format::ONE)]), [""; 0]);
    let all = [(1, Format::TWO), (2, Format::TWO), (3, Format::TWO)];
    assert_eq!(warned(&all), [""; 0], "it is raised in a moment");
    let status = cluster_status(&mixed(&all[..2]));
    assert_eq!(status.cluster.unwrap().format, 1);
    let understands: Vec<Option<u32>> = status.nodes.iter().map(|it| it.understands).collect();
    assert_eq!(understands, [Some(2), Some(2), None]);
    assert_eq!(cluster_status(&healthy()).warnings, [""; 0]);
}

/// Whoever does not understand the others says so, as a member and with records that it cannot
/// read.
#[test]
fn an_agent_that_is_too_old_holds_with_its_reason() {
    let too_old = Some(TooOld { needed: Format(3), known: Format::TWO });
    let aside = Picture { too_old, ..stranger() };
    for seen in [with(healthy(), |member| member.too_old = too_old), aside] {
        let verdict = cluster_verdict(&seen);
        assert_eq!(
            (verdict.state(), verdict.reason()),
            (VerdictState::Holding, Reason::AgentOutdated)
        );
        assert!(verdict.detail.contains("format 3") && verdict.detail.contains("format 2"));
        assert_eq!(reason_word(verdict.reason()), "agent-outdated");
        assert_eq!(verdict.command.as_deref(), Some("apt-get install relight"));
    }
}
