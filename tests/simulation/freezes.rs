//! Orders to freeze (R2): who gives them waits for an answer; who gets them follows the core's steps,
//! each of them an event of its own where a crash may come between.

use relight_core::evidence::observation::NodeObservation;
use relight_core::ids::{Epoch, Term};
use relight_core::ledger::document::Document;
use relight_core::round::freeze::{Freezing, Heard, Next};
use relight_core::round::job::Done;

use crate::agent::{Message, Order};
use crate::galera::Node;
use crate::hands::Holder;
use crate::ledger::Operation;
use crate::mutation::Mutation;
use crate::world::{Event, World};

/// Between two tries to take the hands, or two looks at a server that is to end.
const PAUSE: u64 = 100;
/// How many tries it makes to take the hands.
const HANDS_TRIES: u32 = 600;
/// How many looks it takes at a server that is to end.
const STOP_LOOKS: u32 = 6_000;

/// An order that a node follows.
#[derive(Debug, Clone)]
pub struct Following {
    number: u64,
    freezing: Freezing,
    /// Who gave it, and what the answer is about.
    order: (Node, Order),
    /// How often something was waited for.
    waits: u32,
}

/// What a node that follows an order comes back to after a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The hands may be free.
    Hands,
    /// The promise is durable, and the server is told to stop.
    Stop,
    /// It may have ended.
    End,
    /// The evidence unit is done.
    Evidence,
}

impl World {
    /// An order arrives.
    pub fn ordered_to_freeze(
        &mut self,
        node: Node,
        (epoch, term): (Epoch, Term),
        order: (Node, Order),
    ) {
        let agent = &mut self.nodes[node].agent;
        agent.counter += 1;
        let number = agent.counter;
        let freezing = Freezing::ordered(epoch, term);
        agent.following.push(Following { number, freezing, order, waits: 0 });
        self.ask_ledger(node, Operation::Freeze(number));
    }

    /// The ledger was read, or could not be.
    pub fn freeze_has_read(&mut self, node: Node, number: u64, document: Option<&Document>) {
        match document {
            Some(document) => self.go_on_freezing(node, number, Heard::Ledger(document)),
            None => self.answer_freeze(node, number),
        }
    }

    /// An answer, or the end of waiting for one.
    pub fn hear_of_freeze(&mut self, node: Node, (life, job): Order) {
        if self.lives(node, life) {
            let now = self.moment();
            self.nodes[node].agent.state.ended(now, job, Done::Well);
        }
    }

    fn go_on_freezing(&mut self, node: Node, number: u64, heard: Heard<'_>) {
        let following = self.nodes[node].agent.following.iter_mut().find(|it| it.number == number);
        let Some(following) = following else { return };
        let next = following.freezing.go_on(heard);
        self.freeze_step(node, number, next);
    }

    fn freeze_step(&mut self, node: Node, number: u64, next: Next) {
        match next {
            Next::ReadLedger => self.ask_ledger(node, Operation::Freeze(number)),
            Next::TakeHands => self.wait_to_freeze(node, number, 0, Wait::Hands),
            Next::Look => {
                let seen = self.observe(node);
                self.freeze_sees(node, number, &seen);
            }
            Next::Store { epoch } => {
                self.strike();
                if self.mutation == Mutation::FreezeNotDurable {
                    self.nodes[node].agent.claimed = epoch;
                } else {
                    self.nodes[node].agent.durable.standing.freeze(epoch);
                }
                let evidence_is_proven = self.evidence_is_current(node);
                self.go_on_freezing(node, number, Heard::Done { evidence_is_proven });
            }
            Next::Stop if self.mutation == Mutation::FreezeWithoutStop => {
                self.go_on_freezing(node, number, Heard::Done { evidence_is_proven: true });
            }
            Next::Stop => self.wait_to_freeze(node, number, 5, Wait::Stop),
            Next::TakeEvidence => {
                let delay = self.rng.u64(5..250);
                self.wait_to_freeze(node, number, delay, Wait::Evidence);
            }
            Next::Answer | Next::Refuse(_) => self.answer_freeze(node, number),
        }
    }

    fn freeze_sees(&mut self, node: Node, number: u64, seen: &NodeObservation) {
        self.go_on_freezing(node, number, Heard::Seen(seen));
    }

    fn wait_to_freeze(&mut self, node: Node, number: u64, delay: u64, wait: Wait) {
        let life = self.nodes[node].agent.life;
        self.after(delay, Event::Freeze { node, life, number, wait });
    }

    /// What was waited for may be there.
    pub fn freeze_waited(&mut self, node: Node, life: u64, number: u64, wait: Wait) {
        if !self.lives(node, life) {
            return;
        }
        let free = self.hands_are_free(node);
        let off = self.process(node).is_none() && self.nodes[node].activating.is_none();
        let agent = &mut self.nodes[node].agent;
        let following = agent.following.iter_mut().find(|it| it.number == number);
        let Some(following) = following else { return };
        following.waits += 1;
        let waits = following.waits;
        match wait {
            Wait::Hands if free => {
                following.waits = 0;
                agent.acts.begin();
                agent.hands = Some(Holder::Freeze(number));
                self.go_on_freezing(node, number, Heard::Hands);
            }
            Wait::Hands if waits < HANDS_TRIES => {
                self.wait_to_freeze(node, number, PAUSE, Wait::Hands);
            }
            Wait::Stop => {
                self.stop_server(node);
                self.wait_to_freeze(node, number, PAUSE, Wait::End);
            }
            Wait::End if off => {
                let evidence_is_proven = self.evidence_is_current(node);
                self.go_on_freezing(node, number, Heard::Done { evidence_is_proven });
            }
            Wait::End if waits < STOP_LOOKS => {
                self.wait_to_freeze(node, number, PAUSE, Wait::End);
            }
            Wait::Evidence => {
                self.take_evidence(node);
                let evidence_is_proven = self.evidence_is_current(node);
                self.go_on_freezing(node, number, Heard::Done { evidence_is_proven });
            }
            Wait::Hands | Wait::End => self.answer_freeze(node, number),
        }
    }

    /// Whatever the answer is: what counts is what the node reports in the next survey.
    fn answer_freeze(&mut self, node: Node, number: u64) {
        let following = &mut self.nodes[node].agent.following;
        let Some(place) = following.iter().position(|it| it.number == number) else { return };
        let (asker, order) = following.swap_remove(place).order;
        self.give_back(node, Holder::Freeze(number));
        self.send(node, asker, Message::Froze { order });
    }
}
