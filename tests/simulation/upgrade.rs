//! Clusters that are upgraded node by node, in the middle of everything else that goes wrong.
//!
//! A machine has a program, which understands formats up to its own. An old one is the same code
//! that knows format 1 alone: what it cannot read does not reach it, and it never raises a format.
//! Each message says beside its content what the sender's program understands, as the first one of
//! all did not: that counts as format 1.

use relight_core::evidence::survey::Survey;
use relight_core::ledger::acceptor::{Ask, Said};
use relight_core::ledger::document::Document;
use relight_core::ledger::format::{Format, Understood};

use crate::agent::{Message, id};
use crate::faults::Fault;
use crate::galera::Node;
use crate::ledger::Change;
use crate::mutation::Mutation;
use crate::random::number;
use crate::world::{Event, World};

/// What is installed on a machine.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// The highest format that it understands.
    pub understands: Format,
    /// It was newer once: what it said then may still be believed.
    pub was_put_back: bool,
}

impl Default for Program {
    fn default() -> Self {
        Self { understands: Format::NEWEST, was_put_back: false }
    }
}

/// The format of the document in a message, if there is one.
fn format_of(message: &Message) -> Option<Format> {
    match message {
        Message::Request(request, _) => match &request.ask {
            Ask::Accept { value, .. } => Some(value.document().format),
            Ask::Prepare | Ask::Peek => None,
        },
        Message::Reply(reply) => match &reply.said {
            Said::Promised(Some(vote)) | Said::Holds { accepted: Some(vote), .. } => {
                Some(vote.value.document().format)
            }
            Said::Promised(None)
            | Said::Holds { accepted: None, .. }
            | Said::Accepted
            | Said::Refused(_) => None,
        },
        Message::Admitted(document) => Some(document.format),
        Message::Ask { .. } | Message::Report { .. } | Message::Freeze { .. } => None,
    }
}

impl World {
    /// All nodes have the old program, and the document is in its format.
    pub fn install_old(&mut self) {
        let mut document = (*self.document).clone();
        document.format = Format::ONE;
        self.impose(document.as_written());
        for machine in &mut self.nodes {
            machine.program = Program { understands: Format::ONE, was_put_back: false };
            machine.agent.durable.document = Some(self.document.clone());
        }
    }

    /// Another package is installed: the agent starts anew with it.
    pub fn exchange_package(&mut self, node: Node, understands: Format) {
        let machine = &mut self.nodes[node];
        if !machine.powered || machine.program.understands == understands {
            return;
        }
        let was_put_back =
            machine.program.was_put_back || understands < machine.program.understands;
        machine.program = Program { understands, was_put_back };
        self.end_agent(node);
        let delay = self.rng.u64(300..4_000);
        self.after(delay, Event::Fault(Fault::StartAgent(node)));
    }

    /// An older package is put back, while another node has it still: nothing is raised meanwhile.
    pub fn put_back(&mut self, node: Node) {
        let old = |it: &Node| *it != node && self.nodes[*it].program.understands == Format::ONE;
        if self.document.format == Format::ONE && (0..self.nodes.len()).any(|it| old(&it)) {
            self.exchange_package(node, Format::ONE);
        }
    }

    /// A message arrives, and is read if it can be.
    pub fn arrives(&mut self, from: Node, to: Node, says: Format, message: Message) {
        if self.can_read(from, to, says, &message) {
            self.receive(from, to, message);
        }
    }

    /// Takes note of what the sender understands, and says whether the receiver can read this.
    fn can_read(&mut self, from: Node, to: Node, says: Format, message: &Message) -> bool {
        self.nodes[to].agent.said.insert(id(from), says);
        let Some(format) = format_of(message) else { return true };
        let program = self.nodes[to].program;
        if format <= program.understands {
            return true;
        }
        self.log(|| format!("node {to} meets format {format} and does not read it"));
        let member = self.document.roster.members.contains_key(&id(to));
        if member && !program.was_put_back {
            let detail = format!("node {to} understands {}, not {format}", program.understands);
            self.violate("anytime_no_member_meets_what_it_cannot_read", detail);
        }
        false
    }

    /// The format of what is chosen only rises.
    pub fn anytime_no_format_goes_down(&mut self, next: &Document) {
        let before = self.document.format;
        if next.format < before || !next.format.is_known() {
            let detail = format!("format {} after {before}", next.format);
            self.violate("anytime_no_format_goes_down", detail);
        }
        if *next != next.clone().as_written() {
            let detail = format!("version {} says more than its format", next.version);
            self.violate("anytime_a_document_says_what_its_format_says", detail);
        }
    }

    /// The coordinator raises the format when all have said that they understand a higher one.
    pub fn tend_format(&mut self, node: Node, document: &Document, survey: &Survey) {
        let own = self.nodes[node].program.understands;
        let mut said: Understood = self.nodes[node].agent.said.clone();
        said.insert(id(node), own);
        said.retain(|it, _| survey.observations.contains_key(it));
        if self.mutation == Mutation::RaisesTooEarly {
            said = document.roster.members.keys().map(|it| (*it, Format::NEWEST)).collect();
        }
        if document.agreeable_format(&said).min(own) > document.format {
            self.change(node, Change::RaiseFormat(said));
        }
    }

    /// Has the roster say what this agent understands.
    pub fn report_format(&mut self, node: Node, document: &Document) {
        let understands = self.nodes[node].program.understands;
        if document.wants_report(id(node), understands) {
            self.change(node, Change::ReportUnderstood(id(node), understands));
        }
    }
}

/// One run: old programs, random faults, and upgrades among them; then all that is left.
pub fn run(seed: u64, mutation: Mutation, verbose: bool) -> World {
    let count = [3, 3, 3, 2, 4, 5][fastrand::Rng::with_seed(seed ^ 0x0f0).usize(0..6)];
    let witness = seed.is_multiple_of(5);
    let mut world = World::with_witness(seed, count, witness, mutation, None);
    world.verbose = verbose;
    world.install_old();
    let healed = world.random_faults();
    // Machines that join later come with the new package or with the old one.
    for node in count..world.nodes.len() {
        let old = world.rng.bool() && !world.nodes[node].on_roster;
        world.nodes[node].program.understands = if old { Format::ONE } else { Format::NEWEST };
    }
    for node in 0..world.nodes.len() {
        let at = world.rng.u64(1_000..healed);
        world.after(at, Event::Fault(Fault::Upgrade(node)));
        if world.rng.u8(0..4) == 0 {
            let back = at + world.rng.u64(500..20_000);
            world.after(back, Event::Fault(Fault::PutBack(node)));
        }
    }
    world.run_until(healed + 1_000);
    for node in 0..world.nodes.len() {
        let at = world.rng.u64(100..20_000);
        world.after(at, Event::Fault(Fault::Upgrade(node)));
    }
    let end = world.now + 400_000;
    let ended = |world: &World| world.is_recovered() && world.document.format == Format::NEWEST;
    while world.violation.is_none() && !ended(&world) && world.now < end {
        let next = world.now + 1_000;
        world.run_until(next);
    }
    let next = world.now + 3_000;
    world.run_until(next);
    world.eventually_recovers();
    if world.is_recovered() && world.document.format != Format::NEWEST {
        let detail = format!("format {} is in force in the end", world.document.format);
        world.violate("eventually_the_newest_format_is_in_force", detail);
    }
    world
}

#[test]
fn clusters_are_upgraded_node_by_node_under_faults() {
    if let Some(seed) = number("SEED") {
        let world = run(seed, Mutation::None, true);
        assert_eq!(world.violation, None, "seed {seed}");
        return;
    }
    let seeds = number("SEEDS").unwrap_or(2_000).div_ceil(4);
    let first = number("FIRST").unwrap_or(1);
    let (mut upgraded, mut failed) = (0, Vec::new());
    for seed in first..first + seeds {
        let world = run(seed, Mutation::None, false);
        upgraded += u64::from(world.document.format == Format::NEWEST);
        if let Some((name, detail)) = world.violation {
            println!("seed {seed} broke {name}: {detail}");
            println!(
                "replay: SEED={seed} cargo test --workspace --test simulation upgraded_node_by_node \
                 -- --nocapture"
            );
            failed.push((seed, name));
        }
    }
    println!("{upgraded} of {seeds} clusters write the newest format in the end");
    assert!(failed.is_empty(), "{} seeds failed: {failed:?}", failed.len());
    assert!(upgraded * 10 > seeds * 9, "{upgraded} of {seeds}");
}

/// A node that was put back holds the format where it is, and nothing else stands still.
#[test]
fn one_old_node_holds_the_format_and_nothing_else() {
    let mut world = World::running(3, 3, Mutation::None, None);
    world.verbose = number("SEED") == Some(3);
    world.install_old();
    for node in 0..2 {
        world.after(2_000, Event::Fault(Fault::Upgrade(node)));
    }
    world.run_until(20_000);
    assert_eq!((world.document.format, world.violation.clone()), (Format::ONE, None));
    world.inject(Fault::CutAll);
    for node in 0..3 {
        world.after(2_000, Event::Fault(Fault::PowerOn(node)));
    }
    world.run_until(90_000);
    assert!(world.is_recovered() && world.document.last_epoch.0 == 2, "{:?}", world.document);
    assert_eq!((world.document.format, world.violation.clone()), (Format::ONE, None));
    world.inject(Fault::Upgrade(2));
    world.run_until(110_000);
    assert_eq!((world.document.format, world.violation.clone()), (Format::NEWEST, None));
    let understood = world.document.roster.members.values().map(|it| it.understands);
    assert!(understood.into_iter().all(|it| it == Format::NEWEST));
}
