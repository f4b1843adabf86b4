//! Access of an agent to the ledger: the core's operations over the network of the world.
//!
//! What is asked, when an attempt ends and what follows from it is `relight_core::ledger::attempt`,
//! the same that `agent/src/ledger/client.rs` drives over the real network. Here effects become
//! messages and events, and the deliberate faults that a proposer can have are put around it.

use std::time::Duration;

use relight_core::evidence::survey::Survey;
use relight_core::ids::{AcceptorId, Epoch, HistoryId, Incarnation, NodeId, Term};
use relight_core::ledger::acceptor::{Ask, Reply, Said, Vote};
use relight_core::ledger::access::{Access, Here};
use relight_core::ledger::attempt;
use relight_core::ledger::ballot::Ballot;
use relight_core::ledger::change_roster::PresentedToken;
use relight_core::ledger::document::Document;
use relight_core::ledger::effect::{ChangeError, Effect, Input, LedgerError};
use relight_core::ledger::electorate::Value;
use relight_core::ledger::format::{Format, Understood};
use relight_core::ledger::formation::Formation;
use relight_core::ledger::proposer::Known;
use relight_core::ledger::roster::Member;
use relight_core::ledger::routing::Addressed;
use relight_core::moment::Moment;

use crate::agent::{Message, id, index};
use crate::chain::{Chain, Held};
use crate::galera::Node;
use crate::mutation::Mutation;
use crate::world::{Event, World};

/// What a vote costs on the disks of the world, about.
const WRITE_MS: u64 = 4;

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
    /// Raise the format, by what the members said.
    RaiseFormat(Understood),
    /// Say on the roster what a node's agent understands.
    ReportUnderstood(NodeId, Format),
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
            Self::RaiseFormat(said) => document.raise_format(said).map_err(|it| told(&it)),
            Self::ReportUnderstood(node, understands) => {
                document.report_understood(*node, *understands).map_err(|it| told(&it))
            }
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
            Self::RaiseFormat(_) => "raise format",
            Self::ReportUnderstood(..) => "report format",
            Self::Settle => "settle",
            Self::StepOff(..) => "step off",
        }
    }
}

/// An operation that is under way.
#[derive(Debug, Clone)]
pub struct Talk {
    /// Tells it from others of this life.
    number: u64,
    what: Operation,
    operation: attempt::Operation<Held>,
    /// How much had been chosen when it began.
    begun_at: usize,
    /// When it wants to go on.
    due: u64,
    /// The attempt of which the rest speaks.
    ballot: Option<Ballot>,
    /// How many have answered.
    answered: usize,
    /// What was asked last.
    asked: Option<Ask<Held>>,
}

impl Operation {
    /// What should follow the present value.
    fn wish(&self, node: Node, chain: &Chain, current: &Held) -> Result<Option<Held>, String> {
        let Self::Change(change) = self else { return Ok(None) };
        let next = change.apply(current.document())?;
        let proven = chain.place(current).is_some();
        Ok(Some(Held::after(current, proven, next, (node, (**change).clone()))))
    }
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
        let me = (id(node), Incarnation(machine.agent.life));
        machine.agent.knowledge = Some(Access::new(me, known, Held::first(document)));
    }

    /// Begins an operation.
    pub fn ask_ledger(&mut self, node: Node, what: Operation) {
        let operation = match what {
            Operation::Change(_) => attempt::Operation::change(),
            Operation::Round(_) | Operation::Recheck | Operation::Freeze(..) => {
                attempt::Operation::read()
            }
        };
        let (begun_at, due) = (self.chain.len(), self.now);
        let agent = &mut self.nodes[node].agent;
        agent.talked += 1;
        let number = agent.talked;
        let (ballot, answered, asked) = (None, 0, None);
        let talk = Talk { number, what, operation, begun_at, due, ballot, answered, asked };
        self.step(node, talk, Input::Time);
    }

    /// A reply arrives.
    pub fn hear_voter(&mut self, node: Node, reply: Reply<Held>) {
        let Some(talk) = self.take(node, |it| it.operation.ballot() == Some(reply.ballot)) else {
            return;
        };
        if self.mutation == Mutation::SettleUnproven
            && let Said::Promised(Some(vote)) = &reply.said
            && vote.value.electorate().outgoing.is_some()
        {
            self.persuade(node, talk, vote);
        } else {
            self.step(node, talk, Input::Reply(reply));
        }
    }

    /// A question came to nothing, or so it seems to who asked.
    pub fn ledger_silence(&mut self, node: Node, life: u64, ballot: Ballot, acceptor: AcceptorId) {
        if self.lives(node, life)
            && let Some(talk) = self.take(node, |it| it.operation.ballot() == Some(ballot))
        {
            self.step(node, talk, Input::Silence(acceptor));
        }
    }

    /// An operation wanted to go on by now.
    pub fn ledger_time(&mut self, node: Node, life: u64, number: u64) {
        if !self.lives(node, life) {
            return;
        }
        let Some(talk) = self.take(node, |it| it.number == number) else { return };
        if self.mutation == Mutation::SilenceIsConsent && talk.due <= self.now {
            self.forge(node, talk);
        } else {
            self.step(node, talk, Input::Time);
        }
    }

    fn take(&mut self, node: Node, is: impl Fn(&Talk) -> bool) -> Option<Talk> {
        let talks = &mut self.nodes[node].agent.talks;
        let place = talks.iter().position(is)?;
        Some(talks.swap_remove(place))
    }

    /// Tells an operation what has happened, and does what it asks for.
    fn step(&mut self, node: Node, mut talk: Talk, input: Input<Held>) {
        let now = Moment::after_beginning(Duration::from_millis(self.now));
        let acceptor = self.nodes[node].voter.id();
        let here = Here { now, acceptor, write_took: Duration::from_millis(WRITE_MS) };
        talk.answered += usize::from(matches!(input, Input::Reply(_)));
        let Self { nodes, chain, .. } = self;
        let Some(access) = &mut nodes[node].agent.knowledge else { return };
        let what = &talk.what;
        let wish = |current: &Held| what.wish(node, chain, current);
        let effects = talk.operation.step(access, here, input, wish);
        let drawn = talk.operation.ballot();
        if drawn.is_some() && drawn != talk.ballot {
            (talk.ballot, talk.answered, talk.asked) = (drawn, 0, None);
        }
        let mut over = None;
        for effect in effects {
            match effect {
                Effect::Send(questions) => self.send_questions(node, &mut talk, questions),
                Effect::WaitUntil(moment) => {
                    let life = self.nodes[node].agent.life;
                    let wait = u64::try_from(moment.since(now).as_millis()).unwrap_or(u64::MAX);
                    talk.due = self.now + wait;
                    self.after(wait, Event::LedgerTime { node, life, talk: talk.number });
                }
                Effect::Witness(witnessed) => {
                    self.nodes[node].voter.witnessed.raise(&witnessed);
                }
                Effect::Publish(value) => self.believe(node, &talk, &value),
                // The world finds every node, and nobody waits for what was abandoned.
                Effect::Follow(_) | Effect::Abandon | Effect::Notice(_) => {}
                Effect::Done(outcome) => over = Some(outcome),
            }
        }
        match over {
            Some(outcome) => self.ledger_is_done(node, talk, outcome),
            None => self.nodes[node].agent.talks.push(talk),
        }
    }

    fn send_questions(&mut self, node: Node, talk: &mut Talk, questions: Vec<Addressed<Held>>) {
        for Addressed { node: keeper, request, shown } in questions {
            let (to, ballot, acceptor) = (index(keeper), request.ballot, request.to);
            talk.asked = Some(request.ask.clone());
            let machine = &self.nodes[to];
            // Who is there and has no agent says so; a broken connection tells nothing.
            let refused = machine.powered && !machine.agent.up && self.linked(node, to);
            let broken = self.lossy() && to != node && self.rng.u8(..) < 40;
            if refused || broken {
                let (life, delay) = (self.nodes[node].agent.life, self.delay_ms());
                self.after(delay, Event::LedgerSilence { node, life, ballot, acceptor });
            }
            self.send(node, to, Message::Request(Box::new(request), shown));
        }
    }

    /// A value is taken for chosen.
    fn believe(&mut self, node: Node, talk: &Talk, value: &Held) {
        self.anytime_only_what_was_chosen_is_believed(node, talk.begun_at, value);
        let document = value.document();
        let cached = &mut self.nodes[node].agent.durable.document;
        if cached.as_ref().is_none_or(|cached| cached.version < document.version) {
            *cached = Some(document.clone());
        }
    }

    fn ledger_is_done(
        &mut self,
        node: Node,
        talk: Talk,
        outcome: Result<Held, ChangeError<String>>,
    ) {
        match outcome {
            Ok(value) => {
                self.believe(node, &talk, &value);
                self.ledger_answers(node, talk.what, value.document().clone());
            }
            Err(ChangeError::Refused(why)) => self.log(|| {
                let what = match &talk.what {
                    Operation::Change(change) => change.word(),
                    Operation::Round(_) | Operation::Recheck | Operation::Freeze(..) => "a read",
                };
                format!("ledger refuses node {node} {what}: {why}")
            }),
            Err(ChangeError::Unreachable(why)) => {
                if why == LedgerError::Unfounded {
                    let detail = format!("node {node} meets empty records only");
                    self.violate("anytime_one_chain", detail);
                }
                self.log(|| format!("node {node} does not reach the ledger: {why}"));
                self.ledger_fails(node, &talk.what);
            }
            // Neither yes nor no: the next round reads it again (R21).
            Err(ChangeError::Unknown) => {
                if self.mutation == Mutation::UnknownIsYes
                    && let Some(Ask::Accept { value, .. }) = talk.asked.clone()
                {
                    self.believe(node, &talk, &value);
                    self.ledger_answers(node, talk.what, value.document().clone());
                }
            }
        }
    }

    /// Tells a proposer that everybody holds this, so that it settles what may not be chosen.
    fn persuade(&mut self, node: Node, talk: Talk, vote: &Vote<Held>) {
        let number = talk.number;
        let ballot = talk.operation.ballot();
        self.nodes[node].agent.talks.push(talk);
        for from in vote.value.electorate().everybody() {
            let said = Said::Promised(Some(vote.clone()));
            let Some(talk) = self.take(node, |it| it.number == number) else { return };
            let Some(ballot) = ballot else { return };
            let reply = Reply { from, ballot, record_counter: None, said };
            self.step(node, talk, Input::Reply(reply));
        }
    }

    /// A broken proposer counts those who did not answer.
    fn forge(&mut self, node: Node, talk: Talk) {
        let (number, proposes) = (talk.number, !matches!(talk.asked, None | Some(Ask::Peek)));
        let forges = proposes && talk.answered > 0;
        self.nodes[node].agent.talks.push(talk);
        let everybody = self.document.roster.electorate.everybody();
        for from in everybody.iter().cycle().take(if forges { 2 * everybody.len() } else { 0 }) {
            let Some(talk) = self.take(node, |it| it.number == number) else { return };
            let Some(ballot) = talk.operation.ballot() else {
                return self.nodes[node].agent.talks.push(talk);
            };
            let accepting = matches!(talk.asked, Some(Ask::Accept { .. }));
            let reply = Self::forged(*from, ballot, accepting);
            self.step(node, talk, Input::Reply(reply));
        }
        if let Some(talk) = self.take(node, |it| it.number == number) {
            self.step(node, talk, Input::Time);
        }
    }
}
