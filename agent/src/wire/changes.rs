//! What changed between two pictures, told as events: one sentence each.

use std::collections::{BTreeMap, BTreeSet};

use relight_core::evidence::observation::NodeObservation;
use relight_core::ids::NodeId;
use relight_core::ledger::roster::Roster;
use relight_core::lineage::epoch::GivenUp;
use relight_proto::v1;
use relight_proto::words::{reason_word, state_word};

use super::{cluster_verdict, component_word, missing_rows_words, server_word, wsrep_word};
use crate::events::{Event, EventKind, Level};
use crate::snapshot::{MemberPicture, Picture};

/// Finds the events between two pictures.
#[derive(Debug)]
pub struct EventWatch;

impl EventWatch {
    /// One event for each thing that a person would call a change; none when nothing changed.
    #[must_use]
    pub fn compare(old: &Picture, new: &Picture) -> Vec<Event> {
        let mut found = Found { new, events: Vec::new() };
        found.verdict(old);
        match (old.member.as_deref(), new.member.as_deref()) {
            (None, None) => {}
            (None, Some(after)) => {
                let text = format!("{} is a member of {}", new.name, after.document.name);
                found.say(Level::Notice, EventKind::Roster, text);
            }
            (Some(before), None) => {
                let text = format!("{} has left {}", new.name, before.document.name);
                found.say(Level::Notice, EventKind::Roster, text);
            }
            (Some(before), Some(after)) => {
                found.ledger(before, after);
                found.coordinator(before, after);
                found.decision(before, after);
                found.pause(before, after);
                found.roster(before, after);
                found.servers(before, after);
            }
        }
        found.events
    }
}

/// What goes on without somebody's rows is told as a warning (R12).
fn with_losses(text: String, given_up: &GivenUp) -> (Level, String) {
    match missing_rows_words(given_up) {
        None => (Level::Notice, text),
        Some(words) => (Level::Warning, format!("{text}; {words}")),
    }
}

struct Found<'a> {
    new: &'a Picture,
    events: Vec<Event>,
}

impl Found<'_> {
    fn say(&mut self, level: Level, kind: EventKind, text: String) {
        self.say_with(level, kind, text, []);
    }

    fn say_with<const N: usize>(
        &mut self,
        level: Level,
        kind: EventKind,
        text: String,
        fields: [(&'static str, String); N],
    ) {
        let node = self.new.name.to_string();
        let fields = BTreeMap::from(fields);
        self.events.push(Event { at: self.new.at, node, level, kind, text, fields });
    }

    /// State, reason and who is waited for; not the detail, which counts seconds.
    fn verdict(&mut self, old: &Picture) {
        let (before, after) = (cluster_verdict(old), cluster_verdict(self.new));
        let key = |verdict: &v1::Verdict| (verdict.state, verdict.reason, verdict.missing.clone());
        if key(&before) == key(&after) {
            return;
        }
        let (state, reason) = (state_word(after.state()), reason_word(after.reason()));
        let level = match after.state() {
            v1::VerdictState::Healthy | v1::VerdictState::Recovering => Level::Notice,
            v1::VerdictState::Degraded
            | v1::VerdictState::Holding
            | v1::VerdictState::Unspecified => Level::Warning,
            v1::VerdictState::Down => Level::Error,
        };
        let text = if after.reason() == v1::Reason::None {
            format!("{state}: {}", after.detail)
        } else {
            format!("{state} ({reason}): {}", after.detail)
        };
        let missing = after.missing.join(",");
        let fields = [("state", state.to_owned()), ("reason", reason), ("missing", missing)];
        self.say_with(level, EventKind::Verdict, text, fields);
    }

    fn ledger(&mut self, before: &MemberPicture, after: &MemberPicture) {
        match (before.quorum, after.quorum) {
            (true, false) => {
                let text = "a majority of the voters is not reached any more".to_owned();
                self.say(Level::Error, EventKind::Ledger, text);
            }
            (false, true) => {
                let text = "a majority of the voters is reached again".to_owned();
                self.say(Level::Notice, EventKind::Ledger, text);
            }
            (true, true) | (false, false) => {}
        }
        match (&before.voter_trouble, &after.voter_trouble) {
            (old, Some(why)) if old.as_ref() != Some(why) => {
                let text = format!("{} does not vote: {why}", self.new.name);
                self.say(Level::Warning, EventKind::Ledger, text);
            }
            (Some(_), None) => {
                let text = format!("{} votes again", self.new.name);
                self.say(Level::Notice, EventKind::Ledger, text);
            }
            (_, _) => {}
        }
    }

    fn coordinator(&mut self, before: &MemberPicture, after: &MemberPicture) {
        let (old, new) = (&before.document, &after.document);
        if (old.term, old.coordinator) == (new.term, new.coordinator) {
            return;
        }
        let name = new.coordinator.map_or_else(|| "nobody".into(), |node| new.roster.name_of(node));
        let term = new.term;
        let text = format!("{name} coordinates (term {term})");
        let fields = [("coordinator", name), ("term", term.to_string())];
        self.say_with(Level::Notice, EventKind::Coordinator, text, fields);
    }

    fn decision(&mut self, before: &MemberPicture, after: &MemberPicture) {
        let key = |member: &MemberPicture| {
            member.document.decision.as_ref().map(|it| (it.epoch, it.step))
        };
        let document = &after.document;
        if let Some(decision) = document.decision.as_ref().filter(|_| key(before) != key(after)) {
            let (epoch, lane, step) = (decision.epoch, decision.lane, decision.step);
            let holders: Vec<String> =
                decision.holders.iter().map(|node| document.roster.name_of(*node)).collect();
            let holders = holders.join(", ");
            let text = format!("epoch {epoch} is {step}: {lane}, by {holders}");
            let (level, text) = with_losses(text, &decision.given_up);
            let fields = [
                ("epoch", epoch.to_string()),
                ("lane", lane.to_string()),
                ("step", step.to_string()),
                ("holders", holders),
            ];
            self.say_with(level, EventKind::Decision, text, fields);
        }
        match (before.document.epoch(), document.epoch()) {
            (old, Some(record)) if old.map(|it| it.epoch) != Some(record.epoch) => {
                let text = format!("epoch {} is open and in force", record.epoch);
                let (level, text) = with_losses(text, &record.given_up);
                let fields = [("epoch", record.epoch.to_string())];
                self.say_with(level, EventKind::Decision, text, fields);
            }
            (_, _) => {
                if document.decision.is_none()
                    && let Some((epoch, _)) = key(before)
                {
                    let text = format!("the decision of epoch {epoch} was given up");
                    let fields = [("epoch", epoch.to_string())];
                    self.say_with(Level::Warning, EventKind::Decision, text, fields);
                }
            }
        }
    }

    fn pause(&mut self, before: &MemberPicture, after: &MemberPicture) {
        match (&before.document.pause, &after.document.pause) {
            (old, Some(pause)) if old.as_ref() != Some(pause) => {
                let text = format!("the cluster was paused on {}: {}", pause.by, pause.reason);
                self.say(Level::Warning, EventKind::Config, text);
            }
            (Some(_), None) => {
                self.say(Level::Notice, EventKind::Config, "the pause has ended".to_owned());
            }
            (_, _) => {}
        }
        if before.document.settings != after.document.settings {
            let text = "the settings of the cluster were changed".to_owned();
            self.say(Level::Notice, EventKind::Config, text);
        }
        if before.document.in_charge != after.document.in_charge && after.document.in_charge {
            let text = "Relight is in charge of starts now".to_owned();
            self.say(Level::Notice, EventKind::Config, text);
        }
    }

    fn roster(&mut self, before: &MemberPicture, after: &MemberPicture) {
        let (old, new) = (&before.document.roster, &after.document.roster);
        let ids =
            |roster: &Roster| -> BTreeSet<NodeId> { roster.members.keys().copied().collect() };
        for node in ids(new).difference(&ids(old)) {
            let text = format!("{} is on the roster", new.name_of(*node));
            self.say(Level::Notice, EventKind::Roster, text);
        }
        for node in ids(old).difference(&ids(new)) {
            let text = format!("{} is not on the roster any more", old.name_of(*node));
            let (level, text) = match after.document.given_up.get(node) {
                None => (Level::Notice, text),
                Some(_) => {
                    (Level::Warning, format!("{text}; rows that only it holds are given up"))
                }
            };
            self.say(level, EventKind::Roster, text);
        }
        if old.electorate.voters != new.electorate.voters {
            let voters: Vec<String> = new
                .electorate
                .voters
                .iter()
                .map(|voter| new.keeper(*voter).map_or_else(|| "?".into(), |it| new.name_of(it)))
                .collect();
            let text = format!("the voters are {}", voters.join(", "));
            self.say(Level::Notice, EventKind::Roster, text);
        }
    }

    /// A node that falls silent is not told here: the verdict says so where it matters.
    fn servers(&mut self, before: &MemberPicture, after: &MemberPicture) {
        for (node, report) in &after.survey.observations {
            let Some(old) = before.survey.observations.get(node) else { continue };
            let key =
                |it: &NodeObservation| (server_word(it.server), component_word(it), wsrep_word(it));
            if key(old) == key(report) {
                continue;
            }
            let (server, component, state) = key(report);
            let name = after.document.roster.name_of(*node);
            let level =
                if matches!(server, "failed" | "hung") { Level::Warning } else { Level::Info };
            let text = if report.galera.is_some() {
                format!("the server of {name} is {server}, {component}, {state}")
            } else {
                format!("the server of {name} is {server}")
            };
            let fields = [
                ("node", name),
                ("server", server.to_owned()),
                ("component", component.to_owned()),
                ("state", state.to_owned()),
            ];
            self.say_with(level, EventKind::Server, text, fields);
        }
    }
}

#[cfg(test)]
mod tests;
