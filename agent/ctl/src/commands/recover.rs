//! `agentctl recover plan`: what the coordinator would do now.

use relight_proto::document::VerdictDocument;
use relight_proto::v1 as pb;
use serde::Serialize;

use crate::args::Reading;
use crate::connect::{READ_LIMIT, answer};
use crate::failure::{Exit, Failure};
use crate::render::document;
use crate::render::status_table::verdict_head;
use crate::render::table::{Canvas, Column, Table};
use crate::session::{Session, put};

/// `recover plan -o json`.
#[derive(Debug, Serialize)]
struct PlanDocument {
    schema: u32,
    verdict: VerdictDocument,
    steps: Vec<StepDocument>,
}

#[derive(Debug, Serialize)]
struct StepDocument {
    node: String,
    action: String,
    because: String,
}

/// Shows the plan; nothing is changed.
///
/// # Errors
/// When the agent cannot be reached.
pub async fn plan(session: &Session, args: &Reading) -> Result<Exit, Failure> {
    let mut agent = session.agent().await?;
    let call = agent.plan_recovery(pb::PlanRecoveryRequest {});
    let plan = answer("plan a recovery", READ_LIMIT, call).await?;
    let steps = plan.steps.iter().cloned().map(|step| {
        let pb::PlannedStep { node, action, because } = step;
        StepDocument { node, action, because }
    });
    let verdict = VerdictDocument::from(plan.verdict.as_ref());
    let doc = PlanDocument { schema: 1, verdict, steps: steps.collect() };
    put(&document(args.output, &doc, || table(&plan, session.canvas)))?;
    Ok(Exit::Done)
}

fn table(plan: &pb::RecoveryPlan, canvas: Canvas) -> String {
    let verdict = plan.verdict.clone().unwrap_or_default();
    let mut text = verdict_head(&verdict, "", canvas);
    if plan.steps.is_empty() {
        return text + "\nnothing would be done now\n";
    }
    let columns = ["STEP", "NODE", "ACTION", "BECAUSE"].map(Column::kept);
    let mut table = Table::new(&columns).with_sentences();
    for (at, step) in plan.steps.iter().enumerate() {
        let number = (at + 1).to_string();
        let pb::PlannedStep { node, action, because } = step;
        table.push([number.into(), node.into(), action.into(), because.into()]);
    }
    text += "\n";
    text + &table.render(canvas)
}
