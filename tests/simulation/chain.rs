//! What was chosen, as nobody in the cluster can know it: the chain of documents, and the promises
//! of the register itself (R19, R20, R21).
//!
//! A value is chosen at the moment when the records on the disks of a quorum of its own voters
//! hold it under one ballot. The world counts that; the agents only ever hear of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use relight_core::ids::{AcceptorId, NodeId};
use relight_core::ledger::acceptor::{Request, Said, Vote};
use relight_core::ledger::access::Written;
use relight_core::ledger::ballot::Ballot;
use relight_core::ledger::document::{Document, WriteTag};
use relight_core::ledger::electorate::{Electorate, Value};

use crate::galera::Node;
use crate::ledger::Change;
use crate::world::World;

/// How many ballots are remembered with who has accepted under them.
const TALLIES_MAX: usize = 256;

/// A document on its way through the register, and what only the world knows about it.
#[derive(Debug, Clone)]
pub struct Held(Rc<Entry>);

#[derive(Debug)]
struct Entry {
    document: Rc<Document>,
    /// What it follows, until it is chosen.
    parent: RefCell<Option<Held>>,
    /// What it was chosen already when this was proposed.
    parent_was_chosen: bool,
    /// Whose wish it is.
    change: Option<(Node, Change)>,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
            || (self.tag() == other.tag() && self.0.document == other.0.document)
    }
}
impl Eq for Held {}

impl Value for Held {
    fn electorate(&self) -> &Electorate {
        &self.0.document.roster.electorate
    }
}

impl Written for Held {
    fn version(&self) -> u64 {
        self.0.document.version
    }

    fn stamped(mut self, version: u64, written_by: WriteTag) -> Self {
        let entry = Rc::get_mut(&mut self.0).expect("nobody else has what was just made");
        let document = Rc::make_mut(&mut entry.document);
        *document = document.clone().stamped(version, written_by);
        self
    }

    fn keeper(&self, acceptor: AcceptorId) -> Option<NodeId> {
        self.0.document.roster.keeper(acceptor)
    }
}

impl Held {
    /// What the register begins with.
    pub fn first(document: Rc<Document>) -> Self {
        let parent = RefCell::new(None);
        Self(Rc::new(Entry { document, parent, parent_was_chosen: true, change: None }))
    }

    /// What is to follow another.
    pub fn after(
        parent: &Self,
        parent_was_chosen: bool,
        document: Document,
        change: (Node, Change),
    ) -> Self {
        Self(Rc::new(Entry {
            document: Rc::new(document),
            parent: RefCell::new(Some(parent.clone())),
            parent_was_chosen,
            change: Some(change),
        }))
    }

    /// The document.
    pub fn document(&self) -> &Rc<Document> {
        &self.0.document
    }

    fn tag(&self) -> WriteTag {
        self.0.document.written_by
    }
}

/// All that was chosen so far.
#[derive(Debug, Default)]
pub struct Chain {
    places: HashMap<WriteTag, usize>,
    newest: Option<Ballot>,
    tallies: BTreeMap<Ballot, (Held, BTreeSet<AcceptorId>)>,
    /// The highest record counter that each acceptor has shown to anybody.
    shown: BTreeMap<AcceptorId, u64>,
}

impl Chain {
    /// Begins with what was founded.
    pub fn begin(&mut self, first: &Document) {
        self.places = HashMap::from([(first.written_by, 0)]);
    }

    /// How many were chosen.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The place of a value, if it was chosen.
    pub fn place(&self, value: &Held) -> Option<usize> {
        self.places.get(&value.tag()).copied()
    }
}

impl World {
    /// The record of an acceptor that has accepted this is on its disk.
    pub fn accepted_on_disk(&mut self, acceptor: AcceptorId, vote: &Vote<Held>) {
        let Chain { tallies, .. } = &mut self.chain;
        if tallies.len() > TALLIES_MAX {
            tallies.pop_first();
        }
        let tally =
            tallies.entry(vote.ballot).or_insert_with(|| (vote.value.clone(), BTreeSet::new()));
        let fresh = tally.1.insert(acceptor);
        if fresh && vote.value.electorate().is_quorum(|voter| tally.1.contains(voter)) {
            self.chosen(vote.ballot, &vote.value);
        }
    }

    /// R6, R19, R21: what is chosen follows what was chosen before, and nothing else does.
    fn chosen(&mut self, ballot: Ballot, value: &Held) {
        let mut line = Vec::new();
        let mut at = value.clone();
        let place = loop {
            if let Some(place) = self.chain.place(&at) {
                break Some(place);
            }
            let parent = at.0.parent.borrow().clone();
            line.push(at);
            match parent {
                Some(parent) => at = parent,
                None => break None,
            }
        };
        let last = place.is_some_and(|place| place + 1 == self.chain.len());
        let late = line.is_empty() && self.chain.newest.is_some_and(|newest| ballot <= newest);
        if !last && !late {
            let version = value.0.document.version;
            self.violate("anytime_one_chain", format!("version {version} follows {place:?}"));
            return;
        }
        self.chain.newest = self.chain.newest.max(Some(ballot));
        while let Some(next) = line.pop() {
            next.0.parent.borrow_mut().take();
            self.follows(&next);
        }
    }

    /// One more document is in force.
    fn follows(&mut self, next: &Held) {
        self.anytime_one_roster_change_at_a_time(next);
        let document = next.document().clone();
        self.anytime_no_format_goes_down(&document);
        let place = self.chain.len();
        self.chain.places.insert(document.written_by, place);
        if let Some((node, change)) = &next.0.change {
            self.strike();
            self.check_change(change, &document);
            self.log(|| {
                let decision = document.decision.as_ref().map(|it| {
                    let holders: Vec<u8> = it.holders.iter().map(|it| it.0.0[15] - 1).collect();
                    let (epoch, lane, base, step) = (it.epoch, it.lane, it.base, it.step);
                    format!("epoch {epoch} {lane} by {holders:?} base {base} {step}")
                });
                let (version, term) = (document.version, document.term);
                let what = change.word();
                format!("CHOSEN v{version} of node {node}: {what}; term {term} {decision:?}")
            });
        }
        self.document = document;
    }

    /// R20: a change is about one node, and is settled only when it is certain.
    fn anytime_one_roster_change_at_a_time(&mut self, next: &Held) {
        let present = &self.document.roster.electorate;
        let electorate = next.electorate();
        let settles = present.outgoing.is_some() && electorate.outgoing.is_none();
        let fault = present.may_follow(electorate).err().map(|illegal| illegal.to_string());
        let unproven = settles && !next.0.parent_was_chosen;
        if let Some(detail) = fault.or_else(|| unproven.then(|| "settled unproven".to_owned())) {
            self.violate("anytime_one_roster_change_at_a_time", detail);
        }
    }

    /// R19: an acceptor never shows less than it has shown before.
    pub fn anytime_no_acceptor_forgets(&mut self, acceptor: AcceptorId, counter: Option<u64>) {
        let Some(counter) = counter else { return };
        let shown = self.chain.shown.entry(acceptor).or_insert(counter);
        if counter < *shown {
            let detail = format!("{acceptor} shows record {counter} after {shown}");
            self.violate("anytime_no_acceptor_forgets", detail);
        } else {
            *shown = counter;
        }
    }

    /// R20: whoever works under a roster that is certainly past is refused.
    pub fn anytime_a_past_roster_is_refused(
        &mut self,
        request: &Request<Held>,
        held: Option<&Electorate>,
        said: &Said<Held>,
    ) {
        let refused = matches!(said, Said::Refused(_));
        let past = held.is_some_and(|held| request.stamp.version < held.certain_version());
        if past && !refused {
            let version = request.stamp.version;
            self.violate("anytime_a_past_roster_is_refused", format!("version {version}"));
        }
    }

    /// R21: what an agent goes by was chosen, and nothing newer had been when it began to ask.
    pub fn anytime_only_what_was_chosen_is_believed(
        &mut self,
        node: Node,
        begun_at: usize,
        value: &Held,
    ) {
        let version = value.0.document.version;
        match self.chain.place(value) {
            None => self.violate(
                "anytime_only_what_was_chosen_is_believed",
                format!("node {node} believes in version {version}, which was never chosen"),
            ),
            Some(place) if place + 1 < begun_at => self.violate(
                "anytime_no_read_is_old",
                format!("node {node} reads version {version}, {begun_at} were chosen before"),
            ),
            Some(_) => {}
        }
    }
}

impl World {
    /// Puts a document in force everywhere at once: a beginning that no story has time for.
    pub fn impose(&mut self, mut document: Document) {
        document.version += 1;
        document.written_by.number += 1 << 40;
        let document = Rc::new(document);
        let (proposer, life) = (crate::agent::id(0), relight_core::ids::Incarnation(0));
        let ballot = Ballot { counter: 10_000, proposer, life };
        let vote = Vote { ballot, value: Held::first(document.clone()) };
        for node in 0..self.nodes.len() {
            let voter = &mut self.nodes[node].voter;
            if let Some(on_disk) = &mut voter.disk {
                on_disk.record.promised = ballot;
                on_disk.record.accepted = Some(vote.clone());
                on_disk.record.counter += 1_000;
                voter.resume();
            }
        }
        self.chain.places.insert(document.written_by, self.chain.places.len());
        self.chain.newest = Some(ballot);
        self.document = document;
    }
}
