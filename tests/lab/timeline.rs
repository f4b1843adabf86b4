//! What the observer saw, in order, and what follows from it. No sockets, no clock of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// One server's idea of the component that it is in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// `wsrep_cluster_status`: `Primary`, `non-Primary`, `Disconnected`.
    pub status: String,
    /// `wsrep_cluster_state_uuid`: the history.
    pub history: String,
    /// `wsrep_cluster_conf_id`; `None` outside a primary component.
    pub conf_id: Option<u64>,
    /// `wsrep_cluster_size`.
    pub size: Option<u64>,
    /// `wsrep_local_state_comment`, such as `Synced`.
    pub state: String,
    /// `wsrep_ready`.
    pub ready: bool,
    /// `wsrep_cluster_name`: the group, which in Relight also names the formation.
    pub group: String,
    /// Addresses of the members, from `wsrep_incoming_addresses`; empty if the server has none.
    pub members: BTreeSet<String>,
}

impl View {
    /// Reads a server's status variables.
    pub(super) fn from_status(rows: &[(String, String)], group: &str) -> Self {
        let value = |name: &str| {
            let row = rows.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            row.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let number = |name: &str| value(name).parse().ok();
        Self {
            status: value("wsrep_cluster_status"),
            history: value("wsrep_cluster_state_uuid"),
            // Galera's word for "none" is the largest number.
            conf_id: number("wsrep_cluster_conf_id").filter(|id| *id != u64::MAX),
            size: number("wsrep_cluster_size"),
            state: value("wsrep_local_state_comment"),
            ready: value("wsrep_ready") == "ON",
            group: group.to_owned(),
            members: parse_members(&value("wsrep_incoming_addresses")),
        }
    }

    /// Whether the server believes to be in a primary component.
    pub fn is_primary(&self) -> bool {
        self.status == "Primary"
    }

    /// Whether the server serves normally.
    pub fn is_synced(&self) -> bool {
        self.is_primary() && self.state == "Synced" && self.ready
    }

    /// Whether this and another primary view can only belong to two components: neither counts a
    /// member of the other, or they are of different histories or groups.
    fn excludes(&self, other: &Self) -> bool {
        if self.history != other.history || self.group != other.group {
            return true;
        }
        let known = !self.members.is_empty() && !other.members.is_empty();
        known && self.members.is_disjoint(&other.members)
    }

    /// Whether two servers in these views are in the same component at the same time.
    fn agrees(&self, other: &Self) -> bool {
        (&self.history, &self.group, self.conf_id, self.size)
            == (&other.history, &other.group, other.conf_id, other.size)
    }

    fn words(&self) -> String {
        let conf = self.conf_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let size = self.size.map_or_else(|| "-".to_owned(), |size| size.to_string());
        let ready = if self.ready { "ready" } else { "not ready" };
        format!("{} {} conf {conf} size {size} {ready}", self.status, self.state)
    }
}

fn parse_members(addresses: &str) -> BTreeSet<String> {
    let hosts =
        addresses.split(',').map(|address| address.rsplit_once(':').map_or(address, |(h, _)| h));
    hosts.filter(|host| !host.is_empty() && *host != "AUTO").map(str::to_owned).collect()
}

/// What came of asking a node once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Its answer.
    View(View),
    /// No answer, and why.
    Unheard(String),
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The node's name.
    pub node: String,
    /// When it was asked.
    pub asked: Instant,
    /// When it answered, or was given up.
    pub answered: Instant,
    /// What it said.
    pub seen: Seen,
}

impl Sample {
    fn view(&self) -> Option<&View> {
        match &self.seen {
            Seen::View(view) => Some(view),
            Seen::Unheard(_) => None,
        }
    }

    fn primary(&self) -> Option<&View> {
        self.view().filter(|view| view.is_primary())
    }
}

/// Proof that two primary components existed at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoublePrimary {
    /// When the second node answered.
    pub at: Instant,
    /// A node that said the same before and after, and what it said.
    pub lasting: (String, View),
    /// A node that contradicted it in between, and what it said.
    pub other: (String, View),
}

/// All samples, in the order of their answers.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// All samples, in the order of their answers.
    pub samples: Vec<Sample>,
}

impl Timeline {
    /// What a node said last.
    pub fn latest(&self, node: &str) -> Option<&Sample> {
        self.samples.iter().rev().find(|sample| sample.node == node)
    }

    /// How long after `moment` the named nodes were first seen synced in one primary component of
    /// at least their number. Answers to questions from before `moment` do not count.
    pub fn synced_together(&self, names: &[&str], moment: Instant) -> Option<Duration> {
        let mut last: BTreeMap<&str, &View> = BTreeMap::new();
        for sample in self.samples.iter().filter(|sample| sample.asked >= moment) {
            match sample.view().filter(|view| view.is_synced()) {
                Some(view) => last.insert(&sample.node, view),
                None => last.remove(sample.node.as_str()),
            };
            let views: Vec<&&View> = names.iter().filter_map(|name| last.get(name)).collect();
            let complete = views.len() == names.len();
            let together = views.iter().zip(views.iter().skip(1)).all(|(a, b)| a.agrees(b));
            let counted = views.iter().all(|v| v.size.is_some_and(|s| s >= names.len() as u64));
            if complete && together && counted {
                return Some(sample.answered.duration_since(moment));
            }
        }
        None
    }

    /// Every proof that two primary components existed at once.
    ///
    /// Two nodes are never asked at the same instant, so two answers prove nothing: the component
    /// may have ended in between. The proof is one node in a primary component before *and* after
    /// another node answered from a component that excludes it.
    pub fn double_primaries(&self) -> Vec<DoublePrimary> {
        let mut last: BTreeMap<&str, usize> = BTreeMap::new();
        let mut proofs = Vec::new();
        for (index, after) in self.samples.iter().enumerate() {
            if let Some(earlier) = last.insert(&after.node, index) {
                // Samples stand in the order of their answers: what was said in between lies there.
                proofs.extend(contradictions(self.samples.get(earlier..=index).unwrap_or(&[])));
            }
        }
        proofs
    }

    /// The last words of every node, in one line.
    pub fn last_words(&self) -> String {
        let mut last: BTreeMap<&str, String> = BTreeMap::new();
        for sample in &self.samples {
            last.insert(&sample.node, words(sample));
        }
        let words: Vec<String> =
            last.iter().map(|(node, words)| format!("{node}: {words}")).collect();
        words.join("; ")
    }

    /// Every change of every node, one line each, in seconds after `zero`.
    pub fn render(&self, zero: Instant) -> String {
        let (mut last, mut text) = (BTreeMap::<&str, String>::new(), String::new());
        for sample in &self.samples {
            let words = words(sample);
            if last.get(sample.node.as_str()) != Some(&words) {
                let after = sample.answered.saturating_duration_since(zero).as_secs_f64();
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{after:8.2}  {}  {words}", sample.node);
                last.insert(&sample.node, words);
            }
        }
        text
    }
}

/// Who contradicts a node between two of its answers, the first and the last of `samples`.
fn contradictions(samples: &[Sample]) -> Vec<DoublePrimary> {
    let [before, between @ .., after] = samples else { return Vec::new() };
    let (Some(view), Some(still)) = (before.primary(), after.primary()) else { return Vec::new() };
    if view.conf_id != still.conf_id || view.excludes(still) {
        return Vec::new();
    }
    let inside = |other: &&Sample| other.asked >= before.answered && other.answered <= after.asked;
    let proof = |other: &Sample| {
        let contrary = other.primary().filter(|contrary| contrary.excludes(view))?;
        Some(DoublePrimary {
            at: other.answered,
            lasting: (before.node.clone(), view.clone()),
            other: (other.node.clone(), contrary.clone()),
        })
    };
    between.iter().filter(inside).filter_map(proof).collect()
}

fn words(sample: &Sample) -> String {
    match &sample.seen {
        Seen::View(view) => view.words(),
        Seen::Unheard(why) => format!("unheard: {why}"),
    }
}

#[cfg(test)]
#[path = "timeline/tests.rs"]
mod tests;
