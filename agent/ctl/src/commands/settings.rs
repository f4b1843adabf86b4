//! `agentctl config`: what the cluster shares, and what this node's file says.

use relight_proto::v1 as pb;
use serde::Serialize;

use crate::args::{ConfigGetArgs, ConfigSetArgs, Reading};
use crate::connect::{CHANGE_LIMIT, READ_LIMIT, answer};
use crate::failure::{Exit, Failure};
use crate::render::document;
use crate::render::paint::Tone;
use crate::render::status_table::field;
use crate::render::table::{Canvas, Cell, Column, Table};
use crate::session::{Session, note, put};

/// `config show -o json`.
#[derive(Debug, Serialize)]
struct ConfigDocument {
    schema: u32,
    /// Shared by the cluster.
    settings: Vec<SettingDocument>,
    /// From this node's relight.toml.
    local: Vec<SettingDocument>,
    /// Keys of relight.toml that mean nothing to this version.
    unknown_keys: Vec<String>,
}

/// One setting.
#[derive(Debug, Serialize)]
struct SettingDocument {
    key: String,
    value: String,
    default: String,
    kind: String,
    accepts: String,
    help: String,
}

impl From<&pb::Setting> for SettingDocument {
    fn from(setting: &pb::Setting) -> Self {
        let pb::Setting { key, value, default_value, help, accepts, kind, .. } = setting.clone();
        Self { key, value, default: default_value, kind, accepts, help }
    }
}

async fn fetch(session: &Session) -> Result<pb::Config, Failure> {
    let mut agent = session.agent().await?;
    let call = agent.get_config(pb::GetConfigRequest {});
    answer("read the settings", READ_LIMIT, call).await
}

/// Shows all settings.
///
/// # Errors
/// When the agent cannot be reached.
pub async fn show(session: &Session, args: &Reading) -> Result<Exit, Failure> {
    let config = fetch(session).await?;
    let doc = ConfigDocument {
        schema: 1,
        settings: config.settings.iter().map(SettingDocument::from).collect(),
        local: config.local.iter().map(SettingDocument::from).collect(),
        unknown_keys: config.unknown_keys.clone(),
    };
    put(&document(args.output, &doc, || table(&config, session.canvas)))?;
    Ok(Exit::Done)
}

fn table(config: &pb::Config, canvas: Canvas) -> String {
    let mut text = String::new();
    let parts = [
        ("shared by the cluster, changed with `agentctl config set`", &config.settings),
        ("of this node, from /etc/relight/relight.toml", &config.local),
    ];
    for (title, settings) in parts.into_iter().filter(|(_, settings)| !settings.is_empty()) {
        let gap = if text.is_empty() { "" } else { "\n" };
        text += &format!("{gap}{}\n", canvas.paint.tint(title, Tone::Faint));
        text += &setting_table(settings).render(canvas);
    }
    for key in &config.unknown_keys {
        let warning = format!("`{key}` in relight.toml means nothing to this version");
        text += &field("warning", &warning, canvas);
    }
    text
}

fn setting_table(settings: &[pb::Setting]) -> Table {
    let columns = [
        Column::kept("KEY"),
        Column::kept("VALUE"),
        Column::kept("DEFAULT"),
        Column::spare("ACCEPTS", 1),
    ];
    let mut table = Table::new(&columns).with_sentences();
    for setting in settings {
        let pb::Setting { key, value, default_value, accepts, .. } = setting;
        let tone = if value == default_value { Tone::Plain } else { Tone::Strong };
        let value = Cell::new(if value.is_empty() { "-" } else { value }, tone);
        let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        table.push([key.into(), value, or_dash(default_value).into(), or_dash(accepts).into()]);
    }
    table
}

/// Shows one setting: the bare value, for scripts; what it means with `-o yaml`.
///
/// # Errors
/// A key that does not exist, or that the agent cannot be reached.
pub async fn get(session: &Session, args: &ConfigGetArgs) -> Result<Exit, Failure> {
    let config = fetch(session).await?;
    let mut all = config.settings.iter().chain(&config.local);
    let Some(setting) = all.find(|setting| setting.key == args.key) else {
        return Err(not_found(&config, &args.key));
    };
    let doc = SettingDocument::from(setting);
    put(&document(args.reading.output, &doc, || format!("{}\n", setting.value)))?;
    Ok(Exit::Done)
}

/// The same exit codes as those of `config set` for the same key.
fn not_found(config: &pb::Config, key: &str) -> Failure {
    let what = format!("failed to find the setting `{key}`");
    if config.settings.is_empty() {
        let cause = "this node is a member of no cluster, so it shares no settings".into();
        let hint = "`agentctl init` founds one, `agentctl join TOKEN` joins one".into();
        return Failure::new(Exit::Refused, [what, cause, hint]);
    }
    let keys: Vec<&str> = config.settings.iter().map(|setting| setting.key.as_str()).collect();
    let cause = format!("the settings are {}", keys.join(", "));
    let hint = "all of them with their values: `agentctl config show`".into();
    Failure::new(Exit::Usage, [what, cause, hint])
}

/// Changes one setting of the whole cluster.
///
/// # Errors
/// The agent's refusal, or that it cannot be reached.
pub async fn set(session: &Session, args: ConfigSetArgs) -> Result<Exit, Failure> {
    let mut agent = session.agent().await?;
    let doing = format!("set `{}`", args.key);
    let request = pb::SetConfigRequest { key: args.key, value: args.value };
    let now = answer(&doing, CHANGE_LIMIT, agent.set_config(request)).await?;
    note(&format!("{} = {} (default: {}), on every node\n", now.key, now.value, now.default_value));
    if !now.then.is_empty() {
        note(&format!("{}\n", now.then));
    }
    Ok(Exit::Done)
}
