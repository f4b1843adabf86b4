//! `agentctl explain`: the evidence that the coordinator judged, and the rules that it asked.

use relight_proto::document::StatusDocument;
use relight_proto::v1 as pb;
use serde::Serialize;

use crate::args::Reading;
use crate::connect::{READ_LIMIT, answer};
use crate::failure::{Exit, Failure};
use crate::render::document;
use crate::render::paint::Tone;
use crate::render::status_table::{field, head};
use crate::render::table::{Canvas, Cell, Column, Table};
use crate::render::words::age;
use crate::session::{Session, put};

/// `explain -o json`.
#[derive(Debug, Serialize)]
struct ExplainDocument {
    schema: u32,
    scenario: String,
    runbook: String,
    evidence: Vec<EvidenceDocument>,
    rules: Vec<RuleDocument>,
    status: Option<StatusDocument>,
}

#[derive(Debug, Serialize)]
struct EvidenceDocument {
    node: String,
    age_ms: Option<u64>,
    frozen: u64,
    server: String,
    position: String,
    frontier: String,
    remarks: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RuleDocument {
    rule: String,
    answer: String,
    because: String,
}

impl From<&pb::Explanation> for ExplainDocument {
    fn from(explanation: &pb::Explanation) -> Self {
        let evidence = explanation.evidence.iter().cloned().map(|it| EvidenceDocument {
            node: it.node,
            age_ms: it.age_ms,
            frozen: it.frozen,
            server: known(&it.server).into(),
            position: known(&it.position).into(),
            frontier: known(&it.frontier).into(),
            remarks: it.remarks,
        });
        let rules = explanation.rules.iter().cloned().map(|it| RuleDocument {
            rule: it.rule,
            answer: it.answer,
            because: it.because,
        });
        Self {
            schema: 1,
            scenario: explanation.scenario.clone(),
            runbook: explanation.runbook.clone(),
            evidence: evidence.collect(),
            rules: rules.collect(),
            status: explanation.status.as_ref().map(StatusDocument::from),
        }
    }
}

/// Shows the evidence.
///
/// # Errors
/// When the agent cannot be reached.
pub async fn explain(session: &Session, args: &Reading) -> Result<Exit, Failure> {
    let mut agent = session.agent().await?;
    let call = agent.get_explanation(pb::GetExplanationRequest {});
    let explanation = answer("read the explanation", READ_LIMIT, call).await?;
    let doc = ExplainDocument::from(&explanation);
    put(&document(args.output, &doc, || table(&explanation, session.canvas)))?;
    Ok(Exit::Done)
}

fn table(explanation: &pb::Explanation, canvas: Canvas) -> String {
    let mut text = explanation.status.as_ref().map_or_else(String::new, |it| head(it, canvas));
    text += &field("scenario", &explanation.scenario, canvas);
    if !explanation.runbook.is_empty() {
        text += &field("runbook", &explanation.runbook, canvas);
    }
    if !explanation.evidence.is_empty() {
        text += "\n";
        text += &evidence_table(&explanation.evidence).render(canvas);
        for evidence in &explanation.evidence {
            for remark in &evidence.remarks {
                text += &field("remark", &format!("{}: {remark}", evidence.node), canvas);
            }
        }
    }
    if !explanation.rules.is_empty() {
        text += "\n";
        text += &rule_table(&explanation.rules).render(canvas);
    }
    text
}

fn evidence_table(evidence: &[pb::Evidence]) -> Table {
    let mut table = Table::new(&[
        Column::kept("NODE"),
        Column::kept("AGE"),
        Column::spare("FROZEN", 1),
        Column::kept("SERVER"),
        Column::kept("POSITION"),
        Column::kept("LAST PRIMARY VIEW"),
    ])
    .with_sentences();
    for it in evidence {
        let tone = if it.age_ms.is_some() { Tone::Plain } else { Tone::Bad };
        table.push([
            Cell::new(&it.node, Tone::Strong),
            Cell::new(age(it.age_ms), tone),
            it.frozen.to_string().into(),
            known(&it.server).into(),
            short(known(&it.position)).into(),
            known(&it.frontier).into(),
        ]);
    }
    table
}

/// Silence is `unknown`.
fn known(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

/// The first part of a long history, so that a row fits; JSON has it in full.
fn short(position: &str) -> String {
    match position.split_once(':') {
        Some((history, rest)) if history.len() == 36 => {
            let start: String = history.chars().take(8).collect();
            format!("{start}…:{rest}")
        }
        _ => position.to_owned(),
    }
}

fn rule_table(rules: &[pb::RuleAnswer]) -> Table {
    let columns = [Column::kept("RULE"), Column::kept("ANSWER"), Column::kept("BECAUSE")];
    let mut table = Table::new(&columns).with_sentences();
    for it in rules {
        let tone = match it.answer.as_str() {
            "holds" => Tone::Good,
            "fails" => Tone::Bad,
            "unknown" => Tone::Notice,
            _ => Tone::Faint,
        };
        table.push([
            Cell::new(&it.rule, Tone::Strong),
            Cell::new(&it.answer, tone),
            (&it.because).into(),
        ]);
    }
    table
}
