//! Power losses of all three nodes: the reason why Relight exists.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use relight_tests::lab::relight::{self, Status};
use relight_tests::lab::{self, Node, Wait, wait_until};
use serde_json::Value;

use crate::runner::Stage;
use crate::scene::{LIMIT, Scene, seconds, wait_held};

/// From the power on of the second node until both hold and name the third.
const HOLD_LIMIT: Duration = Duration::from_secs(10);
/// Between two attempts of a person, or of a loop that somebody has put around them.
const TYPING: Duration = Duration::from_secs(1);
/// How long it is watched that nothing starts while a node is missing.
const STILLNESS: Duration = Duration::from_secs(15);

/// Story 1: all three lose power while rows are written, and all return at once.
pub fn at_once(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let cut = scene.lab.power_cut_all()?;
    ensure!(scene.lab.nodes().iter().all(|node| !node.is_on()), "a node survived its power cut");
    let on = scene.lab.boot_all()?;
    scene.recovered(on, "power on")?;
    count_evidence(&scene)?;
    let gap = scene.client()?.log().longest_gap_after(cut);
    let (_, gap) = gap.context("no row was written after the power loss")?;
    scene.stage().note(format!("longest time without a write {}", seconds(gap)));
    starts_are_tuned_and_rest_is_not(&scene)?;
    scene.close(1..=1)
}

/// How often each node found its position out before its server started. Once is what it should be;
/// more costs time and is not wrong, so it is told and does not fail.
fn count_evidence(scene: &Scene) -> Result<()> {
    const LINES: &str = "journalctl --boot --quiet -o cat -u relight-evidence -u mariadb \
                         | grep -E '^Starting (relight-evidence|mariadb)' | cut -d. -f1";
    for node in scene.lab.nodes() {
        let lines = node.sh(LINES)?;
        let before = lines.lines().take_while(|line| *line != "Starting mariadb").count();
        ensure!(before > 0, "{} started its server without evidence: {lines}", node.name());
        if before > 1 {
            scene.stage().note(format!("{} took evidence {before} times", node.name()));
        }
    }
    Ok(())
}

/// The servers that Relight started look for each other more often, and the file that they were
/// started with does not stay so.
fn starts_are_tuned_and_rest_is_not(scene: &Scene) -> Result<()> {
    relight::wait_configured(scene.lab.nodes(), LIMIT)?;
    for node in scene.lab.nodes() {
        let options = node.sh("mariadb -BNe 'SELECT @@wsrep_provider_options'")?;
        let tuned = "evs.join_retrans_period = PT0.3S";
        ensure!(options.contains(tuned), "the server of {} runs with {options}", node.name());
    }
    Ok(())
}

/// Story 1 in all orders, up to 60 s apart. The time between two nodes is the story here.
pub fn staggered(stage: &mut Stage) -> Result<()> {
    const ORDERS: [([&str; 3], [u64; 2]); 6] = [
        (["db-c", "db-b", "db-a"], [1, 1]),
        (["db-b", "db-c", "db-a"], [5, 12]),
        (["db-c", "db-a", "db-b"], [60, 0]),
        (["db-a", "db-b", "db-c"], [0, 60]),
        (["db-a", "db-c", "db-b"], [3, 2]),
        (["db-b", "db-a", "db-c"], [0, 9]),
    ];
    let scene = Scene::open(stage)?;
    for (order, pauses) in ORDERS {
        let before = scene.epoch()?;
        scene.lab.power_cut_all()?;
        let mut on = Instant::now();
        for (name, pause) in order.iter().zip(pauses.iter().chain(&[0])) {
            on = scene.lab.boot(&[name])?;
            thread::sleep(Duration::from_secs(*pause));
        }
        let since = format!("{} in turn, {} and {} s apart", order.join(" "), pauses[0], pauses[1]);
        scene.recovered(on, &since)?;
        let more = scene.epoch()? - before;
        ensure!(more == 1, "{more} more epochs after {since}");
        scene.client()?.wait_for_rows(50, LIMIT)?;
    }
    scene.close(6..=6)
}

/// Story 5: the power fails again while the cluster recovers, at ten moments of the recovery.
pub fn again(stage: &mut Stage) -> Result<()> {
    const MOMENTS: u32 = 10;
    let scene = Scene::open(stage)?;
    scene.lab.power_cut_all()?;
    let on = scene.lab.boot_all()?;
    let whole = scene.recovered(on, "power on")?;
    for moment in 1..=MOMENTS {
        let before = scene.epoch()?;
        scene.client()?.wait_for_rows(30, LIMIT)?;
        scene.lab.power_cut_all()?;
        let again = Instant::now();
        for node in scene.lab.nodes() {
            node.power_on()?;
        }
        // The moment of the second cut is what this round is about.
        let into = whole * moment / MOMENTS;
        thread::sleep(into.saturating_sub(again.elapsed()));
        scene.lab.power_cut_all()?;
        let on = scene.lab.boot_all()?;
        scene.recovered(on, &format!("a second power loss {} into a recovery", seconds(into)))?;
        let more = scene.epoch()? - before;
        ensure!((1..=2).contains(&more), "{more} more epochs after two power losses");
    }
    scene.close(u64::from(MOMENTS) + 1..=2 * u64::from(MOMENTS) + 1)
}

/// Story 6: what a person types first when the database is down, three times on every node.
pub fn typed_by_hand(stage: &mut Stage) -> Result<()> {
    typed(stage, 3, Duration::ZERO, type_both)
}

/// Story 6 with a person, or a loop, who goes on with it once a second until the database is back.
///
/// `galera_new_cluster` restarts the unit, and no gate keeps systemd from stopping what runs. So
/// the loop is the one that people write: it bootstraps while nothing is up.
pub fn typed_on_and_on(stage: &mut Stage) -> Result<()> {
    typed(
        stage,
        usize::MAX,
        TYPING,
        |node| {
            if is_down(node) { type_both(node) } else { type_start(node) }
        },
    )
}

fn is_down(node: &Node) -> bool {
    let state = node.exec_within(&["systemctl", "is-active", "mariadb"], LIMIT);
    state.is_ok_and(|state| matches!(state.text(), "inactive" | "failed"))
}

fn typed(
    stage: &Stage,
    times: usize,
    pause: Duration,
    type_in: impl Fn(&Node) -> usize + Sync,
) -> Result<()> {
    let scene = Scene::open(stage)?;
    scene.lab.power_cut_all()?;
    let on = scene.lab.boot_all()?;
    let (back, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    let recovered = thread::scope(|scope| {
        for node in scene.lab.nodes() {
            scope.spawn(|| {
                for _ in (0..times).take_while(|_| !back.load(Ordering::SeqCst)) {
                    refused.fetch_add(type_in(node), Ordering::SeqCst);
                    thread::sleep(pause);
                }
            });
        }
        let recovered = scene.recovered(on, "power on");
        back.store(true, Ordering::SeqCst);
        recovered
    });
    let refused = refused.into_inner();
    scene.stage().note(format!("{refused} starts by hand were refused meanwhile"));
    recovered?;
    ensure!(refused > 0, "no start by hand was refused, so the gate was not tried");
    scene.close(1..=1)
}

/// Gives how many of the two were refused. Whether they were is for the gate; what follows from
/// it is what counts.
fn type_both(node: &Node) -> usize {
    refused(node, &["galera_new_cluster"]) + type_start(node)
}

fn type_start(node: &Node) -> usize {
    refused(node, &["systemctl", "start", "mariadb"])
}

fn refused(node: &Node, line: &[&str]) -> usize {
    usize::from(node.exec_within(line, LIMIT).is_ok_and(|answer| !answer.success()))
}

/// Story 7: one does not return; the others hold and name it. Then it returns.
pub fn one_missing(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    scene.lab.power_cut_all()?;
    scene.lab.boot(&["db-b"])?;
    let on = scene.lab.boot(&["db-a"])?;
    let present = [scene.lab.node("db-a")?, scene.lab.node("db-b")?];
    wait_held(&present, &["db-c"], HOLD_LIMIT.saturating_sub(on.elapsed()))?;
    let held = seconds(on.elapsed());
    scene.stage().note(format!("held {held} after the second node's power on"));
    scene.stage().note(Status::of(present[0])?.words());
    for node in present {
        explains(node, HOLD_LIMIT.saturating_sub(on.elapsed()))?;
    }
    scene.stage().note(format!("explained after {}", seconds(on.elapsed())));
    nothing_runs(&present)?;
    let on = scene.lab.boot(&["db-c"])?;
    scene.recovered(on, "the third node's power on")?;
    scene.close(1..=1)
}

/// One does not return, and a person gives it up: the others go on, and say whose rows may be
/// missing.
pub fn one_given_up(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    scene.lab.power_cut_all()?;
    scene.lab.boot(&["db-a", "db-b"])?;
    let present = [scene.lab.node("db-a")?, scene.lab.node("db-b")?];
    wait_held(&present, &["db-c"], LIMIT)?;
    let typed = ["agentctl", "remove", "db-c", "--confirm", relight::CLUSTER];
    let planned = present[0].exec_within(&[&typed[..3], &["--dry-run"]].concat(), LIMIT)?;
    let planned = planned.expect_success("agentctl remove --dry-run")?;
    let told = format!("{}{}", planned.stdout, planned.stderr);
    ensure!(told.contains("rows that only db-c holds are given up"), "{told}");
    present[0].exec_within(&typed, LIMIT)?.expect_success("agentctl remove")?;
    let left = scene.lab.nodes().get(..2).context("three nodes")?;
    relight::wait_healthy(left, LIMIT)?;
    let words = "rows that only db-c held may be missing";
    for node in present {
        let status: Value = serde_json::from_str(&node.sh("agentctl status -o json")?)?;
        let named = status.pointer("/cluster/given_up").cloned();
        ensure!(named == Some(serde_json::json!(["db-c"])), "{} names {named:?}", node.name());
        let warned = status.get("warnings").is_some_and(|it| it.to_string().contains(words));
        ensure!(warned, "{} does not warn: {status}", node.name());
        let events = node.sh("agentctl events")?;
        ensure!(events.contains(words), "{} tells of no loss: {events}", node.name());
    }
    scene.close_without("db-c")
}

/// `explain` shows the positions that the present nodes reported, and that the third did not.
fn explains(node: &Node, limit: Duration) -> Result<()> {
    let what = format!("{} explains who reported what", node.name());
    wait_until(&what, limit, || {
        let explained = node
            .sh("agentctl explain -o json")
            .and_then(|text| serde_json::from_str::<Value>(&text).context("explain is no JSON"));
        let explained = match explained {
            Ok(explained) => explained,
            Err(error) => return Wait::Not(format!("{error:#}")),
        };
        let evidence = explained.get("evidence").and_then(Value::as_array);
        let word = |of: &'_ Value, key| of.get(key).and_then(Value::as_str).map(str::to_owned);
        let position = |name: &str| {
            let mut evidence = evidence.into_iter().flatten();
            let of = evidence.find(|it| word(it, "node").as_deref() == Some(name))?;
            word(of, "position")
        };
        let seen = ["db-a", "db-b", "db-c"].map(position);
        let known = |it: &Option<String>| it.as_ref().is_some_and(|it| it != "unknown");
        let [a, b, c] = &seen;
        let right = known(a) && known(b) && c.is_some() && !known(c);
        Wait::of(right, || format!("{seen:?}"))
    })
}

fn nothing_runs(nodes: &[&Node]) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < STILLNESS {
        for node in nodes {
            let state = node.exec(&["systemctl", "is-active", "mariadb"])?;
            let state = state.text().to_owned();
            ensure!(
                matches!(state.as_str(), "inactive" | "failed"),
                "mariadb is {state} on {} while db-c is missing",
                node.name()
            );
            ensure!(
                !node.exec(&["pgrep", "--exact", "mariadbd"])?.success(),
                "a mariadbd runs on {} while db-c is missing",
                node.name()
            );
        }
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// Story 2: a clean shutdown of one node after another.
pub fn clean_shutdown(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    shut_down_in_turn(&scene, &["db-b", "db-c", "db-a"])?;
    scene.close(1..=1)
}

/// Story 2 in all orders.
pub fn clean_shutdown_orders(stage: &mut Stage) -> Result<()> {
    const ORDERS: [[&str; 3]; 6] = [
        ["db-a", "db-b", "db-c"],
        ["db-a", "db-c", "db-b"],
        ["db-b", "db-a", "db-c"],
        ["db-b", "db-c", "db-a"],
        ["db-c", "db-a", "db-b"],
        ["db-c", "db-b", "db-a"],
    ];
    let scene = Scene::open(stage)?;
    for order in &ORDERS {
        shut_down_in_turn(&scene, order)?;
        scene.client()?.wait_for_rows(50, LIMIT)?;
    }
    scene.close(6..=6)
}

fn shut_down_in_turn(scene: &Scene<'_>, order: &[&str]) -> Result<()> {
    let before = scene.epoch()?;
    for name in order {
        scene.lab.node(name)?.shutdown()?;
    }
    let on = scene.lab.boot_all()?;
    let since = format!("power on after {} shut down in turn", order.join(" "));
    scene.recovered(on, &since)?;
    let more = scene.epoch()? - before;
    ensure!(more == 1, "{more} more epochs after {since}");
    Ok(())
}

/// Story 2, all at the same moment.
pub fn clean_shutdown_together(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    lab::at_once(&scene.lab.nodes().iter().collect::<Vec<_>>(), Node::shutdown)?;
    let on = scene.lab.boot_all()?;
    scene.recovered(on, "power on after a shutdown of all at once")?;
    scene.close(1..=1)
}
