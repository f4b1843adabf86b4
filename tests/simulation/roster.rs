//! Who belongs to the cluster: nodes join, are given votes, lose their records and get new ones,
//! leave, and are removed. Each step is a change of its own (R19, R20).

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use relight_core::evidence::survey::Survey;
use relight_core::ids::AcceptorId;
use relight_core::ledger::acceptor::Record;
use relight_core::ledger::change_roster::PresentedToken;
use relight_core::ledger::document::Document;
use relight_core::ledger::electorate::VOTERS_MAX;
use relight_core::ledger::format::Format;
use relight_core::ledger::roster::{Member, Role};
use relight_core::ledger::token::{TokenId, TokenRecord};

use crate::agent::{Message, id, index};
use crate::faults::Fault;
use crate::galera::Node;
use crate::ledger::Change;
use crate::world::{Event, Machine, World};

const SECRET_HASH: [u8; 32] = [7; 32];
const TOKEN: TokenId = TokenId([1; 8]);

/// The token that everybody joins with.
pub fn token() -> TokenRecord {
    TokenRecord {
        token_id: TOKEN,
        secret_hash: SECRET_HASH,
        expires_at_unix_ms: u64::MAX,
        uses_left: None,
        revoked: false,
    }
}

/// A node as the roster lists it.
pub fn member(node: Node, role: Role, ours: bool) -> Member {
    Member {
        name: format!("db-{node}").parse().expect("a name"),
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, u8::try_from(node).unwrap_or(0) + 1)),
        zone: None,
        role,
        acceptor: AcceptorId::from_number(node as u64 + 1),
        config_is_ours: ours,
        understands: Format::NEWEST,
    }
}

impl World {
    /// `agentctl join` on a node: a member lets it in, if one is there; else it is tried again.
    pub fn join(&mut self, node: Node) {
        let listed = self.document.roster.members.contains_key(&id(node));
        let full = self.document.roster.members.len() >= VOTERS_MAX && !listed;
        self.nodes[node].joining = !self.nodes[node].on_roster && !full;
        if !self.nodes[node].joining {
            return;
        }
        self.after(5_000, Event::Fault(Fault::Join(node)));
        if !self.nodes[node].powered {
            return;
        }
        let there = |it: &Node| {
            let machine = &self.nodes[*it];
            machine.powered && machine.agent.up && machine.on_roster && self.linked(node, *it)
        };
        if let Some(door) = (0..self.nodes.len()).find(there) {
            let ours = self.document.roster.members.values().all(|it| it.config_is_ours);
            let Machine { role, program, .. } = &self.nodes[node];
            let understands = program.understands;
            let member = Box::new(Member { understands, ..member(node, *role, ours) });
            let presented =
                PresentedToken { id: TOKEN, secret_hash: SECRET_HASH, now_unix_ms: self.now };
            self.change(door, Change::Admit(id(node), member, presented));
        }
    }

    /// A node has been let in, and becomes a member with a record that has voted for nothing.
    pub fn admitted(&mut self, node: Node, document: Rc<Document>) {
        let machine = &mut self.nodes[node];
        let Some(listed) = document.roster.members.get(&id(node)) else { return };
        if machine.on_roster || !machine.powered {
            return;
        }
        machine.on_roster = true;
        machine.joining = false;
        machine.voter.renew(Record::fresh(listed.acceptor, document.cluster));
        machine.agent.durable.document = Some(document);
        self.start_agent(node);
    }

    /// What follows from a change that went in.
    pub fn changed(&mut self, node: Node, change: Change, document: Rc<Document>) {
        match change {
            Change::Admit(joiner, ..) => {
                self.send(node, index(joiner), Message::Admitted(document));
            }
            Change::StepOff(gone, heard) if document.roster.members.contains_key(&gone) => {
                self.change(node, Change::StepOff(gone, heard));
            }
            Change::StepOff(gone, _) if gone == id(node) => self.laid_down(node),
            Change::Claim(..)
            | Change::Decide(..)
            | Change::Formed(..)
            | Change::Open(..)
            | Change::Close(..)
            | Change::TakeCharge(..)
            | Change::Enfranchise(_)
            | Change::Readmit(..)
            | Change::Settle
            | Change::RaiseFormat(_)
            | Change::ReportUnderstood(..)
            | Change::StepOff(..) => {}
        }
    }

    /// `agentctl leave`: the server is stopped, then vote and place are given up.
    pub fn leave(&mut self, node: Node) {
        if self.nodes[node].leaving && !self.document.roster.members.contains_key(&id(node)) {
            // The answer to the last step was lost; the same command goes on where it stopped.
            self.laid_down(node);
            return;
        }
        let alone = self.document.roster.members.len() < 2;
        let serving = (0..self.nodes.len()).any(|it| it != node && self.can_commit(it));
        let begins = !self.nodes[node].leaving;
        let there = self.nodes[node].agent.up && self.nodes[node].on_roster;
        let known = &self.nodes[node].agent;
        let refused = |document: &Rc<Document>| document.step_off(id(node), &known.heard).is_err();
        let refused = known.durable.document.as_ref().is_none_or(refused);
        if !there || alone || (begins && (!serving || refused)) {
            return;
        }
        // The hands are kept to the end: no round may start the server again.
        self.nodes[node].leaving = true;
        self.stop_server(node);
        self.step_off(node, node);
        self.after(5_000, Event::Fault(Fault::Leave(node)));
    }

    /// This node is a member of no cluster any more, and keeps its data.
    fn laid_down(&mut self, node: Node) {
        self.log(|| format!("node {node} has left"));
        self.end_agent(node);
        let machine = &mut self.nodes[node];
        machine.on_roster = false;
        machine.agent.durable.gate_closed = false;
    }

    /// One agent begins to take a node off the roster, with what it knew in its last round.
    fn step_off(&mut self, at: Node, node: Node) {
        let heard = self.nodes[at].agent.heard.clone();
        self.change(at, Change::StepOff(id(node), heard));
    }

    /// `agentctl remove`, of a node that is off for good, typed on one that has been heard from.
    pub fn remove(&mut self, node: Node) {
        let listed = self.document.roster.members.contains_key(&id(node));
        let there = (0..self.nodes.len()).filter(|it| {
            let machine = &self.nodes[*it];
            *it != node && machine.powered && machine.agent.up && machine.on_roster
        });
        let at = there.max_by_key(|it| self.can_commit(*it));
        let alone = self.document.roster.members.len() < 2;
        self.nodes[node].removed = listed && !alone && !self.nodes[node].powered;
        if !self.nodes[node].removed {
            return;
        }
        if let Some(at) = at {
            self.step_off(at, node);
        }
        self.after(5_000, Event::Fault(Fault::Remove(node)));
    }

    /// Whether all who vote can: a change that takes a vote away needs those who stay, and one of
    /// them that has lost its record never answers again (SPECIFICATION.md 20).
    pub fn every_voter_has_its_record(&self) -> bool {
        let kept = |acceptor: &AcceptorId| {
            self.nodes.iter().any(|it| {
                it.on_roster && it.voter.disk.as_ref().is_some_and(|it| it.record.id == *acceptor)
            })
        };
        self.document.roster.electorate.voters.iter().all(kept)
    }

    /// Gives votes to members that answer, one at a time, and settles changes of voters.
    pub fn tend_roster(&mut self, node: Node, document: &Document, survey: &Survey) {
        self.tend_format(node, document, survey);
        if document.roster.electorate.outgoing.is_some() {
            self.change(node, Change::Settle);
            return;
        }
        let newcomer = document
            .roster
            .members
            .keys()
            .find(|it| !document.roster.votes(**it) && survey.observations.contains_key(it));
        if let Some(newcomer) = newcomer.copied() {
            self.change(node, Change::Enfranchise(newcomer));
        }
    }

    /// R19: asks for a new vote when this node's acceptor is not the one that the roster names.
    pub fn ask_for_vote(&mut self, node: Node, document: &Document) {
        let Some(listed) = document.roster.members.get(&id(node)) else { return };
        if document.roster.electorate.outgoing.is_some() || self.nodes[node].leaving {
            return;
        }
        let fresh = match self.nodes[node].voter.id() {
            Some(own) if own == listed.acceptor => return,
            Some(own) => own,
            None => {
                let own = AcceptorId::from_number(u64::from(self.fresh()) + 1_000);
                self.nodes[node].voter.renew(Record::fresh(own, document.cluster));
                self.log(|| format!("node {node} begins a new record"));
                own
            }
        };
        self.change(node, Change::Readmit(id(node), fresh));
    }
}
