//! Where the questions of one attempt go, and whose answers are still to come.
//!
//! Requests name acceptors; messages go to nodes. Which node keeps which acceptor is on the
//! roster, and the roster that a node knows may be old: it then asks voters of whom it has never
//! heard where they live. Such a request waits until an answer shows a newer roster. Only addresses
//! follow from that, so that roster need not be chosen.

use std::collections::BTreeMap;

use super::acceptor::{Reply, Request, Said};
use super::access::{Access, Here, Written};
use super::ballot::Ballot;
use crate::ids::{AcceptorId, NodeId};
use crate::moment::Moment;

/// A question and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressed<V> {
    /// The node that keeps the record of the acceptor; it may be the one that asks.
    pub node: NodeId,
    /// The question.
    pub request: Request<V>,
    /// The highest record counter that this node has ever seen from that acceptor (R19).
    pub shown: Option<u64>,
}

/// The questions of one attempt that are under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnderWay<V> {
    ballot: Ballot,
    pub(super) deadline: Moment,
    /// How many replies have come.
    pub(super) answered: usize,
    /// How many questions to each acceptor have come to no end yet.
    awaited: BTreeMap<AcceptorId, usize>,
    /// Questions to acceptors of which nobody has said yet where they live.
    stranded: Vec<Request<V>>,
    /// A newer value than the node's own, which tells that.
    newer: Option<V>,
}

impl<V: Written> UnderWay<V> {
    pub(super) const fn new(ballot: Ballot, deadline: Moment) -> Self {
        Self {
            ballot,
            deadline,
            answered: 0,
            awaited: BTreeMap::new(),
            stranded: Vec::new(),
            newer: None,
        }
    }

    pub(super) const fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// Nobody is left who could still answer.
    pub(super) fn is_silent(&self) -> bool {
        self.awaited.is_empty()
    }

    /// Puts addresses on these.
    pub(super) fn address(
        &mut self,
        access: &Access<V>,
        here: Here,
        requests: Vec<Request<V>>,
    ) -> Vec<Addressed<V>> {
        let mut addressed = Vec::with_capacity(requests.len());
        for request in requests {
            let to = request.to;
            let listed = || {
                let newer = self.newer.as_ref().and_then(|newer| newer.keeper(to));
                newer.or_else(|| access.newest().keeper(to))
            };
            let own = (here.acceptor == Some(to)).then(|| access.node());
            match own.or_else(listed) {
                Some(node) => {
                    *self.awaited.entry(to).or_default() += 1;
                    let shown = access.known().witnessed.of(to);
                    addressed.push(Addressed { node, request, shown });
                }
                None => self.stranded.push(request),
            }
        }
        addressed
    }

    /// A question to this acceptor has come to its end: with its reply, or without one.
    pub(super) fn ended(&mut self, acceptor: AcceptorId) {
        if let Some(count) = self.awaited.get_mut(&acceptor) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.awaited.remove(&acceptor);
            }
        }
    }

    /// Takes note of the roster that a reply shows, if it is newer than all that is known. Gives
    /// that value, and the questions that can be asked now.
    pub(super) fn shown(
        &mut self,
        access: &Access<V>,
        reply: &Reply<V>,
    ) -> Option<(V, Vec<Request<V>>)> {
        let (Said::Promised(Some(vote)) | Said::Holds { accepted: Some(vote), .. }) = &reply.said
        else {
            return None;
        };
        let known = self.newer.as_ref().unwrap_or_else(|| access.newest()).version();
        if vote.value.version() <= known.max(access.newest().version()) {
            return None;
        }
        self.newer = Some(vote.value.clone());
        Some((vote.value.clone(), core::mem::take(&mut self.stranded)))
    }
}
