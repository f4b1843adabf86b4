//! `/metrics`: the picture as `OpenMetrics` text. Names and labels are API.
//!
//! The registry is built anew for each scrape, so that a value which is not known any more is
//! absent instead of stale. Closed lists of words are one series each, 0 or 1.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use relight_core::position::StoredPosition;
use relight_proto::v1;
use relight_proto::words::{
    COMPONENTS, GALERA_STATES, SERVERS, STATES, reason_word, reasons, state_word,
};
use tokio::time::Instant;

use crate::snapshot::{MemberPicture, Picture};
use crate::wire::{cluster_status, component_word, position_of, server_word, version, wsrep_word};

type Label = [(&'static str, String); 1];
type Number = Gauge<f64, AtomicU64>;

/// The picture as `OpenMetrics` text.
///
/// # Errors
/// When the text cannot be put together.
pub(super) fn render(
    picture: &Picture,
    dropped: &[(&'static str, u64)],
    now: Instant,
) -> Result<String, fmt::Error> {
    let mut labels = vec![(Cow::Borrowed("node"), Cow::Owned(picture.name.to_string()))];
    if let Some(member) = picture.member.as_deref() {
        let name = member.document.name.to_string();
        labels.push((Cow::Borrowed("cluster"), Cow::Owned(name)));
    }
    let mut registry = Registry::with_prefix_and_labels("relight", labels.into_iter());
    let page = &mut Page { registry: &mut registry };
    let status = cluster_status(picture);
    about(page, picture, now);
    verdict(page, &status);
    if let Some(member) = picture.member.as_deref() {
        ledger(page, &status, member);
        own_server(page, &status, member);
        peers(page, picture, member);
    }
    gossip(page, dropped);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

struct Page<'a> {
    registry: &'a mut Registry,
}

impl Page<'_> {
    #[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^53")]
    fn number(&mut self, name: &str, help: &str, value: u64) {
        self.real(name, help, value as f64);
    }

    fn real(&mut self, name: &str, help: &str, value: f64) {
        let gauge = Number::default();
        gauge.set(value);
        self.registry.register(name, help, gauge);
    }

    fn flag(&mut self, name: &str, help: &str, value: bool) {
        self.number(name, help, u64::from(value));
    }

    /// One series for each word of a closed list, 1 for the one that holds.
    fn words(&mut self, [name, help, label]: [&str; 3], words: &[String], holds: &str) {
        let family = Family::<Vec<(String, String)>, Number>::default();
        for word in words {
            let value = f64::from(u8::from(word == holds));
            family.get_or_create(&vec![(label.to_owned(), word.clone())]).set(value);
        }
        self.registry.register(name, help, family);
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn about(page: &mut Page<'_>, picture: &Picture, now: Instant) {
    let v1::Version { version, commit, .. } = version();
    let build = Info::new(vec![("version", version), ("commit", commit)]);
    page.registry.register("build", "What runs here", build);
    let age = now.saturating_duration_since(picture.taken).as_secs_f64();
    page.real("picture_age_seconds", "Time since the agent last looked", age);
    page.flag("member", "Whether this node belongs to a cluster", picture.member.is_some());
}

fn verdict(page: &mut Page<'_>, status: &v1::ClusterStatus) {
    let verdict = status.verdict.clone().unwrap_or_default();
    let states = STATES.map(state_word);
    let holds = state_word(verdict.state());
    page.words(["verdict", "State of the cluster", "state"], &owned(&states), holds);
    // The reasons of the interface, numbered from 1 without gaps.
    let reasons: Vec<String> = reasons().map(reason_word).collect();
    let holds = reason_word(verdict.reason());
    page.words(["verdict_reason", "Reason of the verdict", "reason"], &reasons, &holds);
    let missing = u64::try_from(verdict.missing.len()).unwrap_or(u64::MAX);
    page.number("missing_nodes", "Nodes that are waited for", missing);
}

fn ledger(page: &mut Page<'_>, status: &v1::ClusterStatus, member: &MemberPicture) {
    let document = &member.document;
    let epoch = document.epoch().map_or(0, |record| record.epoch.0);
    page.number("epoch", "Epoch that is in force", epoch);
    page.number("last_epoch", "Last epoch that was decided", document.last_epoch.0);
    page.number("term", "Term of the coordinator", document.term.0);
    let mine = document.coordinator == Some(member.me);
    page.flag("coordinator", "Whether this node is the coordinator", mine);
    page.flag("quorum", "Whether a majority of the voters was reached", member.quorum);
    let votes = document.roster.votes(member.me) && member.voter_trouble.is_none();
    page.flag("voter", "Whether this node votes", votes);
    page.flag("paused", "Whether a person paused the cluster", document.pause.is_some());
    page.flag("decision_open", "Whether a decision is carried out", document.decision.is_some());
    page.flag("gate_closed", "Whether the start gate is in place", member.gate_closed);
    let nodes = u64::try_from(status.nodes.len()).unwrap_or(u64::MAX);
    page.number("nodes", "Nodes of the roster", nodes);
}

fn own_server(page: &mut Page<'_>, status: &v1::ClusterStatus, member: &MemberPicture) {
    let Some(own) = member.survey.observations.get(&member.me) else { return };
    let server = server_word(own.server);
    page.words(["server", "What the server does", "state"], &owned(&SERVERS), server);
    let component = component_word(own);
    let help = "Component of the server";
    page.words(["galera_component", help, "component"], &owned(&COMPONENTS), component);
    let state = wsrep_word(own);
    page.words(["galera_state", "Galera's state", "state"], &owned(&GALERA_STATES), state);
    if let StoredPosition::At { position, .. } = position_of(own) {
        page.number("position_seqno", "Last write-set that is held here", position.seqno.0);
    }
    if let Some(queue) = own.galera.as_ref().and_then(|galera| galera.recv_queue) {
        page.number("galera_recv_queue", "Write-sets that wait to be applied", queue);
    }
    let id = member.me.to_string();
    let writer = status.nodes.iter().find(|row| row.id == id).and_then(|row| row.writer);
    if let Some(writer) = writer {
        page.flag("writer", "Whether clients' writes are accepted here", writer);
    }
}

fn peers(page: &mut Page<'_>, picture: &Picture, member: &MemberPicture) {
    let alive = member.alive.iter().filter(|node| **node != member.me).count();
    let alive = u64::try_from(alive).unwrap_or(u64::MAX);
    page.number("peers_alive", "Other nodes that gossip believes to be alive", alive);
    let roster = &member.document.roster;
    let answered = Family::<Label, Number>::default();
    let heard = Family::<Label, Number>::default();
    for node in roster.members.keys().filter(|node| **node != member.me) {
        let peer = || [("peer", roster.name_of(*node))];
        let value = f64::from(u8::from(member.survey.observations.contains_key(node)));
        answered.get_or_create(&peer()).set(value);
        if let Some(at) = member.heard.get(node) {
            let age = picture.taken.saturating_duration_since(*at).as_secs_f64();
            heard.get_or_create(&peer()).set(age);
        }
    }
    page.registry.register("peer_answered", "Whether a node answered in this round", answered);
    page.registry.register("peer_heard_age_seconds", "Time since a node was heard", heard);
}

fn gossip(page: &mut Page<'_>, dropped: &[(&'static str, u64)]) {
    let family = Family::<Label, Counter>::default();
    for (reason, count) in dropped {
        family.get_or_create(&[("reason", (*reason).to_owned())]).inc_by(*count);
    }
    page.registry.register("gossip_dropped", "Datagrams that were dropped", family);
}
