//! Access of an agent to the ledger: it drives the core's readers and proposers over the network
//! of the world, as `agent/src/ledger/client.rs` does over the real one.
//!
//! Several operations may be under way at once, each with a ballot of its own. Deadlines only end
//! attempts; a change without an answer is neither yes nor no (R21).

use std::rc::Rc;

use relight_core::evidence::survey::Survey;
use relight_core::ids::{AcceptorId, Epoch, HistoryId, Incarnation, NodeId, Term};
use relight_core::ledger::acceptor::{Reply, Request, Said, Vote};
use relight_core::ledger::ballot::Ballot;
use relight_core::ledger::change_roster::PresentedToken;
use relight_core::ledger::document::{Document, WriteTag};
use relight_core::ledger::electorate::Value;
use relight_core::ledger::formation::Formation;
use relight_core::ledger::proposer::{self, CasOutcome, Known, Proposer, Step};
use relight_core::ledger::reader::{Reader, Reading};
use relight_core::ledger::roster::Member;

use crate::agent::{Message, id, index};
use crate::chain::Held;
use crate::galera::Node;
use crate::mutation::Mutation;
use crate::world::{Event, World};

/// How long one attempt waits for answers.
const ATTEMPT_MS: u64 = 300;
/// How many attempts one read or change makes.
const ATTEMPTS: u32 = 6;

/// What the answer to an operation is for.
#[derive(Debug, Clone)]
pub enum Operation {
    /// The read of a round.
    Round(u64),
    /// The read before acts that cannot be undone.
    Recheck,
    /// The read of a node that was asked to freeze.
    Freeze(Epoch, Term),
    /// A change.
    Change(Box<Change>),
}

/// The changes that an agent makes.
#[derive(Debug, Clone)]
pub enum Change {
    /// Raise the term.
    Claim(NodeId, Term),
    /// Store a decision.
    Decide(Term, Epoch, Formation, Survey),
    /// The component was proven.
    Formed(Term, Epoch, HistoryId),
    /// Open it.
    Open(Term, Epoch),
    /// Close the epoch of an attempt that is not needed.
    Close(Term, Epoch),
    /// Take charge of an adopted cluster.
    TakeCharge(Term, HistoryId),
    /// Put a node on the roster.
    Admit(NodeId, Box<Member>, PresentedToken),
    /// Give it a vote.
    Enfranchise(NodeId),
    /// Give it a vote under a fresh acceptor.
    Readmit(NodeId, AcceptorId),
    /// End a change of voters.
    Settle,
    /// One step towards a roster without it, by what was heard when it was wanted.
    StepOff(NodeId, Survey),
}

impl Change {
    fn apply(&self, document: &Document) -> Result<Document, String> {
        let told = |refused: &dyn std::fmt::Display| refused.to_string();
        match self {
            Self::Claim(node, seen) => document.claim(*node, *seen).map_err(|it| told(&it)),
            Self::Decide(term, epoch, formation, survey) => {
                document.decide(*term, *epoch, formation, survey).map_err(|it| told(&it))
            }
            Self::Formed(term, epoch, history) => {
                document.formed(*term, *epoch, *history).map_err(|it| told(&it))
            }
            Self::Open(term, epoch) => document.open(*term, *epoch).map_err(|it| told(&it)),
            Self::Close(term, epoch) => document.close(*term, *epoch).map_err(|it| told(&it)),
            Self::TakeCharge(term, history) => {
                document.take_charge(*term, *history).map_err(|it| told(&it))
            }
            Self::Admit(node, member, token) => {
                document.admit(*node, (**member).clone(), *token).map_err(|it| told(&it))
            }
            Self::Enfranchise(node) => document.enfranchise(*node).map_err(|it| told(&it)),
            Self::Readmit(node, fresh) => document.readmit(*node, *fresh).map_err(|it| told(&it)),
            Self::Settle => Ok(document.settle()),
            Self::StepOff(node, heard) => document.step_off(*node, heard).map_err(|it| told(&it)),
        }
    }

    /// For the log.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Claim(..) => "claim",
            Self::Decide(..) => "decide",
            Self::Formed(..) => "formed",
            Self::Open(..) => "open",
            Self::Close(..) => "close",
            Self::TakeCharge(..) => "take charge",
            Self::Admit(..) => "admit",
            Self::Enfranchise(..) => "enfranchise",
            Self::Readmit(..) => "readmit",
            Self::Settle => "settle",
            Self::StepOff(..) => "step off",
        }
    }
}

/// What an agent knows about the register; gone when it dies.
#[derive(Debug, Clone)]
pub struct Knowledge {
    known: Known,
    highest: Ballot,
    writes: u64,
}

/// One attempt of an operation.
#[derive(Debug, Clone)]
pub struct Attempt {
    operation: Operation,
    /// Whether it only looks.
    peeks: bool,
    count: u32,
    above: Option<Ballot>,
    /// How much had been chosen when the operation began.
    begun_at: usize,
}

#[derive(Debug, Clone)]
enum Stage {
    Reading(Reader<Held>),
    Proposing(Proposer<Held>),
}

/// An attempt that is under way.
#[derive(Debug, Clone)]
pub struct Talk {
    ballot: Ballot,
    stage: Stage,
    attempt: Attempt,
    answered: usize,
    /// What was last proposed, for an agent that takes silence for a yes.
    proposed: Option<Held>,
    /// Requests to acceptors of which nobody has said yet where they live.
    stranded: Vec<Request<Held>>,
    /// A newer roster than the agent's own, which tells that.
    newer: Option<Rc<Document>>,
}

impl World {
    /// A new life of the agent: what it knows is what lay on its disk.
    pub fn know(&mut self, node: Node) {
        let machine = &mut self.nodes[node];
        let Some(document) = machine.agent.durable.document.clone() else { return };
        let known = Known {
            cluster: document.cluster,
            electorate: document.roster.electorate.clone(),
            chosen: None,
            witnessed: machine.voter.witnessed.clone(),
        };
        let knowledge = Knowledge { known, highest: Ballot::FOUNDING, writes: 0 };
        machine.agent.knowledge = Some(knowledge);
    }

    /// Begins an operation.
    pub fn ask_ledger(&mut self, node: Node, operation: Operation) {
        let peeks = !matches!(operation, Operation::Change(_));
        let begun_at = self.chain.len();
        self.attempt(node, Attempt { operation, peeks, count: 0, above: None, begun_at });
    }

    /// A ballot above everything seen, used by nobody else and never again.
    fn draw(&mut self, node: Node, above: Option<Ballot>) -> Option<(Ballot, Known)> {
        let life = Incarnation(self.nodes[node].agent.life);
        let knowledge = self.nodes[node].agent.knowledge.as_mut()?;
        let highest = knowledge.highest.max(above.unwrap_or(Ballot::FOUNDING));
        knowledge.highest = Ballot::above(highest, id(node), life);
        Some((knowledge.highest, knowledge.known.clone()))
    }

    fn attempt(&mut self, node: Node, attempt: Attempt) {
        let Some((ballot, known)) = self.draw(node, attempt.above) else { return };
        let (stage, requests) = if attempt.peeks {
            let mut reader = Reader::new(ballot, known);
            let requests = reader.start();
            (Stage::Reading(reader), requests)
        } else {
            let mut proposer = Proposer::new(ballot, known);
            let requests = proposer.start();
            (Stage::Proposing(proposer), requests)
        };
        let (proposed, stranded) = (None, Vec::new());
        let mut talk =
            Talk { ballot, stage, attempt, answered: 0, proposed, stranded, newer: None };
        self.send_requests(node, &mut talk, requests);
        let agent = &mut self.nodes[node].agent;
        agent.talks.push(talk);
        let life = agent.life;
        self.after(ATTEMPT_MS, Event::LedgerDeadline { node, life, ballot });
    }

    /// One more attempt, after a pause.
    pub fn attempt_again(&mut self, node: Node, life: u64, attempt: Attempt) {
        if self.lives(node, life) {
            self.attempt(node, attempt);
        }
    }

    fn send_requests(&mut self, node: Node, talk: &mut Talk, requests: Vec<Request<Held>>) {
        let agent = &self.nodes[node].agent;
        let (Some(knowledge), Some(document)) = (&agent.knowledge, &agent.durable.document) else {
            return;
        };
        let own = self.nodes[node].voter.id();
        let mut letters = Vec::with_capacity(requests.len());
        for request in requests {
            let shown = knowledge.known.witnessed.of(request.to);
            let newer = talk.newer.as_ref();
            let keeper = if own == Some(request.to) {
                Some(id(node))
            } else {
                newer
                    .and_then(|it| it.roster.keeper(request.to))
                    .or_else(|| document.roster.keeper(request.to))
            };
            match keeper {
                Some(keeper) => letters.push((index(keeper), request, shown)),
                None => talk.stranded.push(request),
            }
        }
        for (to, request, shown) in letters {
            self.send(node, to, Message::Request(Box::new(request), shown));
        }
    }

    /// A reply arrives.
    pub fn hear_voter(&mut self, node: Node, reply: Reply<Held>) {
        let talks = &mut self.nodes[node].agent.talks;
        let Some(place) = talks.iter().position(|it| it.ballot == reply.ballot) else { return };
        let mut talk = talks.swap_remove(place);
        talk.answered += 1;
        self.learn_keepers(node, &mut talk, &reply);
        if let Some(talk) = self.go_on(node, talk, reply) {
            self.nodes[node].agent.talks.push(talk);
        }
    }

    /// A node that missed changes of the roster learns from the first who did not, where the
    /// others are.
    fn learn_keepers(&mut self, node: Node, talk: &mut Talk, reply: &Reply<Held>) {
        let (Said::Promised(Some(vote)) | Said::Holds { accepted: Some(vote), .. }) = &reply.said
        else {
            return;
        };
        let document = vote.value.document();
        let own = self.nodes[node].agent.durable.document.as_ref();
        if !talk.stranded.is_empty() && own.is_none_or(|own| document.version > own.version) {
            talk.newer = Some(document.clone());
            let stranded = std::mem::take(&mut talk.stranded);
            self.send_requests(node, talk, stranded);
        }
    }

    fn go_on(&mut self, node: Node, mut talk: Talk, reply: Reply<Held>) -> Option<Talk> {
        let step = match &mut talk.stage {
            Stage::Reading(reader) => {
                match reader.on_reply(reply) {
                    Reading::Wait | Reading::RolledBack(_) => {}
                    Reading::Send(requests) => self.send_requests(node, &mut talk, requests),
                    Reading::Chosen(vote) => {
                        let known = reader.known().clone();
                        self.conclude(node, &talk.attempt, &known, &vote);
                        let document = vote.value.document().clone();
                        self.ledger_answers(node, talk.attempt.operation, document);
                        return None;
                    }
                    Reading::Contended => {
                        self.give_up(node, talk);
                        return None;
                    }
                }
                return Some(talk);
            }
            Stage::Proposing(proposer) => proposer.on_reply(reply),
        };
        self.step(node, talk, step)
    }

    fn step(&mut self, node: Node, mut talk: Talk, mut step: Step<Held>) -> Option<Talk> {
        if let Step::Decide { current, chosen } = &step {
            step = self.decide(node, &mut talk, current, *chosen)?;
        }
        let Stage::Proposing(proposer) = &talk.stage else { return None };
        match step {
            Step::Wait | Step::Decide { .. } | Step::RolledBack(_) => Some(talk),
            Step::Send(requests) => {
                self.send_requests(node, &mut talk, requests);
                Some(talk)
            }
            Step::Chosen(vote) => {
                let (known, outcome) = (proposer.known().clone(), proposer.outcome());
                self.conclude(node, &talk.attempt, &known, &vote);
                match outcome {
                    CasOutcome::Applied(value) => {
                        let document = value.document().clone();
                        self.ledger_answers(node, talk.attempt.operation, document);
                    }
                    CasOutcome::Conflict(value) => self.kept(node, talk.attempt, &value),
                    CasOutcome::NotProposed | CasOutcome::Unknown => {}
                }
                None
            }
            Step::Retry { above, electorate } => {
                let known = Known { electorate, ..proposer.known().clone() };
                self.learn(node, &known);
                self.unless_sent(node, talk, Some(above), usize::MAX);
                None
            }
            Step::Refused(_) => {
                self.unless_sent(node, talk, None, 0);
                None
            }
            Step::Unfounded => {
                self.violate("anytime_one_chain", format!("node {node} meets empty records only"));
                None
            }
        }
    }

    /// What should follow the value that a quorum knows of.
    fn decide(
        &mut self,
        node: Node,
        talk: &mut Talk,
        current: &Held,
        chosen: bool,
    ) -> Option<Step<Held>> {
        let proven = chosen && self.chain.place(current).is_some();
        let wanted = match &talk.attempt.operation {
            Operation::Change(change) => match change.apply(current.document()) {
                Ok(next) => {
                    let next = self.stamp(node, current.document(), next)?;
                    let wish = (node, (**change).clone());
                    let next = Held::after(current, proven, next, wish);
                    talk.proposed = Some(next.clone());
                    proposer::Change::Replace(next)
                }
                Err(why) if chosen => {
                    self.log(|| format!("ledger refuses node {node} {}: {why}", change.word()));
                    return None;
                }
                Err(_) => proposer::Change::Keep,
            },
            Operation::Round(_) | Operation::Recheck | Operation::Freeze(..) => {
                proposer::Change::Keep
            }
        };
        let Stage::Proposing(proposer) = &mut talk.stage else { return None };
        match proposer.propose(wanted.clone()) {
            Ok(step) => Some(step),
            Err(_) if self.mutation == Mutation::SettleUnproven => {
                Some(Self::persuade(proposer, current, wanted))
            }
            Err(_) => proposer.propose(proposer::Change::Keep).ok(),
        }
    }

    /// Makes a proposer believe that everybody holds this value, so that it may settle it.
    fn persuade(
        proposer: &mut Proposer<Held>,
        current: &Held,
        wanted: proposer::Change<Held>,
    ) -> Step<Held> {
        *proposer = Proposer::new(proposer.ballot(), proposer.known().clone());
        proposer.start();
        for from in current.electorate().everybody() {
            let vote = Vote { ballot: Ballot::FOUNDING, value: current.clone() };
            let said = Said::Promised(Some(vote));
            let reply = Reply { from, ballot: proposer.ballot(), record_counter: None, said };
            if matches!(proposer.on_reply(reply), Step::Decide { .. }) {
                return proposer.propose(wanted).unwrap_or(Step::Wait);
            }
        }
        Step::Wait
    }

    /// Every value that is proposed differs from every other (R21).
    fn stamp(&mut self, node: Node, current: &Document, next: Document) -> Option<Document> {
        let life = self.nodes[node].agent.life;
        let knowledge = self.nodes[node].agent.knowledge.as_mut()?;
        knowledge.writes += 1;
        let written_by = WriteTag { node: id(node), number: (life << 24) + knowledge.writes };
        Some(Document { version: current.version + 1, written_by, ..next })
    }

    /// A value was kept: that was the wish of a read, and a reason to go again for a change.
    fn kept(&mut self, node: Node, attempt: Attempt, value: &Held) {
        let document = value.document().clone();
        match &attempt.operation {
            Operation::Change(change) => match change.apply(&document) {
                Ok(_) => self.again(node, attempt, None, usize::MAX),
                Err(why) => {
                    self.log(|| format!("ledger refuses node {node} {}: {why}", change.word()));
                }
            },
            Operation::Round(_) | Operation::Recheck | Operation::Freeze(..) => {
                self.ledger_answers(node, attempt.operation, document);
            }
        }
    }

    fn conclude(&mut self, node: Node, attempt: &Attempt, known: &Known, vote: &Vote<Held>) {
        self.anytime_only_what_was_chosen_is_believed(node, attempt.begun_at, &vote.value);
        self.learn(node, known);
        let document = vote.value.document();
        let cached = &mut self.nodes[node].agent.durable.document;
        if cached.as_ref().is_none_or(|cached| cached.version < document.version) {
            *cached = Some(document.clone());
        }
    }

    fn learn(&mut self, node: Node, known: &Known) {
        let machine = &mut self.nodes[node];
        let Some(knowledge) = &mut machine.agent.knowledge else { return };
        if known.electorate.version > knowledge.known.electorate.version {
            knowledge.known.electorate = known.electorate.clone();
        }
        knowledge.known.chosen = knowledge.known.chosen.max(known.chosen);
        for acceptor in known.electorate.everybody() {
            if let Some(counter) = known.witnessed.of(acceptor) {
                let _ = knowledge.known.witnessed.admit(acceptor, counter);
            }
        }
        machine.voter.witnessed.clone_from(&knowledge.known.witnessed);
    }

    /// The time of an attempt is over.
    pub fn ledger_deadline(&mut self, node: Node, life: u64, ballot: Ballot) {
        if !self.lives(node, life) {
            return;
        }
        let talks = &mut self.nodes[node].agent.talks;
        let Some(place) = talks.iter().position(|it| it.ballot == ballot) else { return };
        let mut talk = talks.swap_remove(place);
        if self.mutation == Mutation::SilenceIsConsent {
            match self.forge(node, talk) {
                Some(rest) => talk = rest,
                None => return,
            }
        }
        self.give_up(node, talk);
    }

    /// A broken proposer counts those who did not answer.
    fn forge(&mut self, node: Node, mut talk: Talk) -> Option<Talk> {
        if talk.answered == 0 {
            return Some(talk);
        }
        for _ in 0..2 {
            for from in self.document.roster.electorate.everybody() {
                let Stage::Proposing(proposer) = &mut talk.stage else { return Some(talk) };
                let accepting = talk.proposed.is_some();
                let reply = Self::forged(from, proposer.ballot(), accepting);
                let step = proposer.on_reply(reply);
                talk = self.step(node, talk, step)?;
            }
        }
        Some(talk)
    }

    /// An attempt ends without a result.
    fn give_up(&mut self, node: Node, talk: Talk) {
        let answered = talk.answered;
        match &talk.stage {
            Stage::Reading(_) if answered == 0 => self.ledger_fails(node, &talk.attempt.operation),
            Stage::Reading(_) => {
                // Somebody is at work on it, or a minority holds more: a full round settles that.
                self.attempt(node, Attempt { peeks: false, ..talk.attempt });
            }
            Stage::Proposing(_) => self.unless_sent(node, talk, None, answered),
        }
    }

    /// What was sent and not answered ends here, because nothing follows from it (R21).
    fn unless_sent(&mut self, node: Node, talk: Talk, above: Option<Ballot>, answered: usize) {
        let Stage::Proposing(proposer) = &talk.stage else { return };
        if matches!(proposer.outcome(), CasOutcome::Unknown) {
            if self.mutation == Mutation::UnknownIsYes
                && let Some(value) = talk.proposed.clone()
            {
                let vote = Vote { ballot: talk.ballot, value };
                let known = proposer.known().clone();
                self.conclude(node, &talk.attempt, &known, &vote);
                let document = vote.value.document().clone();
                self.ledger_answers(node, talk.attempt.operation, document);
            }
            return;
        }
        self.again(node, talk.attempt, above, answered);
    }

    fn again(&mut self, node: Node, attempt: Attempt, above: Option<Ballot>, answered: usize) {
        let count = attempt.count + 1;
        if count >= ATTEMPTS || (answered <= 1 && attempt.count >= 1) {
            self.ledger_fails(node, &attempt.operation);
            return;
        }
        let life = self.nodes[node].agent.life;
        let above = attempt.above.max(above);
        let attempt = Box::new(Attempt { count, above, ..attempt });
        // Duels end because each node waits differently long.
        let delay = 5 + (node as u64 + 1) * 3 * u64::from(count);
        self.after(delay, Event::LedgerAttempt { node, life, attempt });
    }
}
