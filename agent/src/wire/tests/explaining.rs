//! `explain` and `recover plan`: what was found, what was decided, what would be done.

use super::*;

pub fn answers(explained: &v1::Explanation) -> BTreeMap<&str, (&str, &str)> {
    explained
        .rules
        .iter()
        .map(|it| (it.rule.as_str(), (it.answer.as_str(), it.because.as_str())))
        .collect()
}

#[test]
fn an_explanation_shows_the_evidence_of_everybody() {
    let explained = explanation(&picture(document(), [off(1, 1040), off(2, 1042)]));
    assert_eq!(explained.scenario, "no server is in a primary component");
    assert_eq!(explained.runbook, "/usr/share/doc/relight/runbooks/reasons.md#nodes-unheard");
    let [first, _, silent] = &explained.evidence[..] else { panic!("{explained:?}") };
    assert_eq!(first.frontier, "14 {db-a, db-b, db-c} crashed");
    assert_eq!(first.position, format!("{}:1040", crate::sample::HISTORY));
    assert_eq!((first.server.as_str(), first.frozen, first.age_ms), ("stopped", 4, Some(0)));
    assert_eq!((silent.node.as_str(), silent.age_ms), ("db-c", Some(47_000)));
    assert_eq!((silent.server.as_str(), silent.frontier.as_str()), ("unknown", "unknown"));
    let rules = answers(&explained);
    assert_eq!(rules["R4"].0, "holds");
    assert_eq!(rules["R6"], ("holds", "a majority of the 3 voters answered this agent"));
    assert_eq!(rules["R12"].0, "fails");
    assert!(rules["R12"].1.contains("db-c has not been heard for 47 s"), "{rules:?}");
    for later in ["R5", "R7", "R9", "R10"] {
        assert_eq!(rules[later], ("not asked", "the questions ended at nodes-unheard"));
    }
    assert_eq!(rules.len(), 11);
}

#[test]
fn an_explanation_shows_which_lane_was_taken() {
    let together = explanation(&picture(document(), [off(1, 1040), off(2, 1042), off(3, 1041)]));
    let rules = answers(&together);
    assert_eq!((rules["R5"].0, rules["R9"].0, rules["R10"].0), ("holds", "holds", "not asked"));
    assert_eq!(rules["R5"].1, "all 3 data nodes of the roster reported");

    let mut failed = document();
    failed.reform_failed = Some(view(&[1, 2, 3]));
    let alone = explanation(&picture(failed, [off(1, 1040), off(2, 1042), off(3, 1041)]));
    let rules = answers(&alone);
    assert_eq!((rules["R9"].0, rules["R10"].0), ("fails", "holds"));
    assert!(rules["R9"].1.contains("ran into its deadline"), "{rules:?}");
    assert!(rules["R10"].1.contains("db-b leads at"), "{rules:?}");

    let serving = explanation(&healthy());
    let rules = answers(&serving);
    assert_eq!((rules["R5"].0, rules["R13"].0), ("not asked", "holds"));
    assert_eq!(rules["R13"].1, "in prod.f2: db-a, db-b and db-c");
    assert_eq!(serving.runbook, "");
    assert_eq!(rules["R14"], ("holds", "epoch 4 has been opened"));
    assert!(explanation(&stranger()).rules.is_empty());
}

#[test]
fn an_explanation_names_the_rule_that_stopped() {
    let mut weighted = off(2, 1042);
    weighted.weight = Some(2);
    let explained = explanation(&picture(document(), [off(1, 1040), weighted, off(3, 1041)]));
    let rules = answers(&explained);
    assert_eq!((rules["R4"].0, rules["R5"].0), ("not asked", "unknown"));
    assert!(rules["R5"].1.contains("db-b"), "{rules:?}");

    let mut suspect = off(2, 1042);
    suspect.position = at(1042, Quality::Suspect);
    let explained = explanation(&picture(document(), [off(1, 1040), suspect, off(3, 1041)]));
    let rules = answers(&explained);
    assert_eq!((rules["R5"].0, rules["R7"].0, rules["R12"].0), ("holds", "unknown", "fails"));

    let mut foreign = synced(3);
    foreign.galera.as_mut().unwrap().group = Some("prod.f1".into());
    let explained = explanation(&picture(document(), [synced(1), synced(2), foreign]));
    assert_eq!(answers(&explained)["R13"].0, "fails");

    let silent = decided(document(), Step::Decided);
    let explained = explanation(&picture(silent, [off(1, 1040), off(3, 1041)]));
    assert_eq!(answers(&explained)["R11"].0, "fails");
}

fn steps(plan: &v1::RecoveryPlan) -> Vec<(String, String)> {
    plan.steps.iter().map(|step| (step.node.clone(), step.action.clone())).collect()
}

#[test]
fn a_plan_is_what_the_coordinator_and_then_each_node_would_do() {
    let all = picture(document(), [off(1, 1040), off(2, 1042), off(3, 1041)]);
    let plan = recovery_plan(&all);
    let ask = "ask db-a, db-b and db-c to freeze for epoch 5".to_owned();
    assert_eq!(steps(&plan), [("db-a".to_owned(), ask)]);
    assert_eq!(plan.verdict.as_ref().unwrap().reason(), Reason::Gathering);

    let joins = recovery_plan(&picture(document(), [synced(1), synced(2), off(3, 1000)]));
    let actions: Vec<String> = steps(&joins).into_iter().map(|(_, action)| action).collect();
    assert_eq!(
        actions,
        [
            "write the Galera configuration of formation 2",
            "remove the view file",
            "store the permit to join in epoch 4",
            "start the server",
        ]
    );
    assert!(joins.steps.iter().all(|step| step.node == "db-c"));

    assert!(recovery_plan(&healthy()).steps.is_empty());
    assert!(recovery_plan(&no_quorum(all)).steps.is_empty(), "nobody may act without a quorum");
    assert!(recovery_plan(&stranger()).steps.is_empty());
}
