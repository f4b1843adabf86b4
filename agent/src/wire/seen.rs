//! A member's picture with the small questions that every answer asks of it: names, ages, who is
//! silent. Words only; what follows from them is decided in the core.

use std::collections::BTreeSet;
use std::time::Duration;

use relight_core::diagnosis::view;
use relight_core::evidence::frontier::{View, ViewMember};
use relight_core::evidence::observation::NodeObservation;
use relight_core::ids::{NodeId, NodeName};
use relight_core::ledger::component::is_ours;
use relight_core::ledger::document::Document;
use relight_core::lineage::epoch::GivenUp;
use relight_core::position::Position;
use relight_core::recovery::hold::Outside;

use crate::snapshot::{MemberPicture, Picture};

/// What a member sees.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) picture: &'a Picture,
    pub(super) member: &'a MemberPicture,
}

impl<'a> Seen<'a> {
    /// Nothing when this node is not a member.
    pub(super) fn of(picture: &'a Picture) -> Option<Self> {
        picture.member.as_deref().map(|member| Self { picture, member })
    }

    /// The same for the core.
    pub(super) fn view(self) -> view::View<'a> {
        view::View {
            me: self.member.me,
            document: self.document(),
            survey: &self.member.survey,
            judgement: &self.member.judgement,
            quorum: self.member.quorum,
            mute: self.member.voter_trouble.is_some(),
        }
    }

    pub(super) fn document(self) -> &'a Document {
        &self.member.document
    }

    pub(super) fn observation(self, node: NodeId) -> Option<&'a NodeObservation> {
        self.member.survey.observations.get(&node)
    }

    pub(super) fn name(self, node: NodeId) -> String {
        self.document().roster.name_of(node)
    }

    /// Names in order.
    pub(super) fn names<'n>(self, nodes: impl IntoIterator<Item = &'n NodeId>) -> Vec<String> {
        let mut names: Vec<String> = nodes.into_iter().map(|node| self.name(*node)).collect();
        names.sort();
        names
    }

    /// `db-a, db-b and db-c`; `nobody` when there are none.
    pub(super) fn list<'n>(self, nodes: impl IntoIterator<Item = &'n NodeId>) -> String {
        sentence_list(&self.names(nodes))
    }

    /// Every node of the roster, by name.
    pub(super) fn nodes_by_name(self) -> Vec<NodeId> {
        let members = &self.document().roster.members;
        let mut nodes: Vec<NodeId> = members.keys().copied().collect();
        nodes.sort_by_key(|node| members.get(node).map(|member| member.name.clone()));
        nodes
    }

    /// How long before the picture a node was last heard; nothing when never.
    pub(super) fn age(self, node: NodeId) -> Option<Duration> {
        let heard = self.member.heard.get(&node)?;
        Some(self.picture.taken.saturating_duration_since(*heard))
    }

    /// `has not been heard for 47 s`.
    pub(super) fn silence(self, node: NodeId) -> String {
        self.age(node).map_or_else(
            || "has not been heard since this agent started".to_owned(),
            |age| format!("has not been heard for {}", duration_words(age)),
        )
    }

    /// `db-b has not been heard for 47 s, db-c has not been heard for 3 min`.
    pub(super) fn silences(self, nodes: &BTreeSet<NodeId>) -> String {
        let mut said: Vec<String> = nodes
            .iter()
            .map(|node| format!("{} {}", self.name(*node), self.silence(*node)))
            .collect();
        said.sort();
        said.join(", ")
    }

    /// Who could have gone on beside the reporters: who is silent, and whose name is lost.
    pub(super) fn outside_words(self, outside: &Outside) -> String {
        let silent = (!outside.unheard.is_empty()).then(|| self.silences(&outside.unheard));
        let said: Vec<String> = silent.into_iter().chain(self.nameless_words(outside)).collect();
        said.join("; ")
    }

    /// Members whom nobody can name, who they may be, and what that asks of a person.
    pub(super) fn nameless_words(self, outside: &Outside) -> Option<String> {
        let names: Vec<String> = outside.nameless.iter().map(ToString::to_string).collect();
        let list = sentence_list(&names);
        let who = if outside.perhaps.is_empty() {
            format!("{list} in the last views is no node of the roster (garbd?)")
        } else {
            let perhaps = self.names(&outside.perhaps).join(" or ");
            format!("nobody knows any more who {list} in the last views was, perhaps {perhaps}")
        };
        let then = "a person has to make sure that nobody else serves, and to begin by hand";
        (!names.is_empty()).then(|| format!("{who}; {then}"))
    }

    /// Data nodes whose server is in a primary component.
    pub(super) fn in_primary(self) -> BTreeSet<NodeId> {
        self.member
            .survey
            .data_nodes(self.document())
            .filter(|report| report.in_primary())
            .map(|report| report.node)
            .collect()
    }

    /// Data nodes that are Synced in the component of the ledger.
    pub(super) fn synced(self) -> BTreeSet<NodeId> {
        self.member
            .survey
            .data_nodes(self.document())
            .filter(|report| report.is_synced() && is_ours(self.document(), report))
            .map(|report| report.node)
            .collect()
    }

    /// `14 {db-a, db-b, db-c}`.
    pub(super) fn view_words(self, view: &View) -> String {
        let mut members: Vec<String> = view
            .members
            .iter()
            .map(|member| match member {
                ViewMember::Node(node) => self.name(*node),
                ViewMember::Stranger(gcomm) => format!("stranger {gcomm}"),
            })
            .collect();
        members.sort();
        format!("{} {{{}}}", view.stamp.seq, members.join(", "))
    }
}

/// `a`, `a and b`, `a, b and c`; `nobody` when there are none.
pub(super) fn sentence_list(names: &[String]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `rows that only db-b or db-c held may be missing`; nothing where nobody was given up (R12).
pub(crate) fn missing_rows_words(given_up: &GivenUp) -> Option<String> {
    let mut names: Vec<&str> = given_up.values().map(NodeName::as_str).collect();
    names.sort_unstable();
    (!names.is_empty())
        .then(|| format!("rows that only {} held may be missing", names.join(" or ")))
}

/// `is` or `are`, and the like.
pub(super) fn verb<T>(nodes: &BTreeSet<T>, one: &'static str, many: &'static str) -> &'static str {
    if nodes.len() == 1 { one } else { many }
}

/// `47 s`, `3 min`, `2 h`, `4 d`.
pub(super) fn duration_words(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A position for a sentence.
pub(super) fn position_words(position: &Position) -> String {
    position.to_string()
}
