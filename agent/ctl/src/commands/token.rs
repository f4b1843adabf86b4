//! `agentctl token`: what other nodes join with.

use relight_proto::v1 as pb;
use serde::Serialize;

use crate::args::{Reading, TokenCreateArgs, TokenRevokeArgs};
use crate::connect::{CHANGE_LIMIT, READ_LIMIT, answer};
use crate::failure::{Exit, Failure};
use crate::render::paint::Tone;
use crate::render::table::{Canvas, Cell, Column, Table};
use crate::render::words::moment;
use crate::render::{Format, document};
use crate::session::{Session, note, put};

/// `token list -o json`.
#[derive(Debug, Serialize)]
struct TokensDocument {
    schema: u32,
    tokens: Vec<TokenDocument>,
}

/// One token, without its secret.
#[derive(Debug, Serialize)]
struct TokenDocument {
    id: String,
    /// valid, expired, used or revoked.
    state: String,
    /// RFC 3339.
    expires_at: String,
    /// `null` when there is no limit.
    uses_left: Option<u32>,
}

/// `token create -o json`.
#[derive(Debug, Serialize)]
struct CreatedDocument {
    schema: u32,
    token: String,
    info: Option<TokenDocument>,
}

impl From<&pb::TokenInfo> for TokenDocument {
    fn from(info: &pb::TokenInfo) -> Self {
        let pb::TokenInfo { id, expires_at, uses_left, state } = info.clone();
        Self { id, state, expires_at, uses_left }
    }
}

/// Makes a token; standard output gets it alone, so that it can be piped to a file.
///
/// # Errors
/// The agent's refusal, or that it cannot be reached.
pub async fn create(session: &Session, args: &TokenCreateArgs) -> Result<Exit, Failure> {
    let mut agent = session.agent().await?;
    let request =
        pb::CreateTokenRequest { ttl_seconds: args.ttl.as_secs(), uses: args.uses.unwrap_or(0) };
    let made = answer("create a token", CHANGE_LIMIT, agent.create_token(request)).await?;
    let info = made.info.as_ref();
    let doc = CreatedDocument {
        schema: 1,
        token: made.token.clone(),
        info: info.map(TokenDocument::from),
    };
    put(&document(args.reading.output, &doc, || format!("{}\n", made.token)))?;
    if let Some(info) = info.filter(|_| args.reading.output == Format::Table) {
        let uses = match info.uses_left {
            None => "any number of nodes".into(),
            Some(1) => "one node".into(),
            Some(uses) => format!("{uses} nodes"),
        };
        let until = moment(&info.expires_at);
        note(&format!("token {} lets {uses} join until {until}; keep it secret\n", info.id));
        note("on each new node: agentctl join TOKEN\n");
    }
    Ok(Exit::Done)
}

/// Lists tokens.
///
/// # Errors
/// When the agent cannot be reached or refuses.
pub async fn list(session: &Session, args: &Reading) -> Result<Exit, Failure> {
    let mut agent = session.agent().await?;
    let call = agent.list_tokens(pb::ListTokensRequest {});
    let tokens = answer("list the tokens", READ_LIMIT, call).await?.tokens;
    let doc =
        TokensDocument { schema: 1, tokens: tokens.iter().map(TokenDocument::from).collect() };
    put(&document(args.output, &doc, || table(&tokens, session.canvas)))?;
    if tokens.is_empty() && args.output == Format::Table {
        note("there is no token; make one: agentctl token create --ttl 1h\n");
    }
    Ok(Exit::Done)
}

fn table(tokens: &[pb::TokenInfo], canvas: Canvas) -> String {
    if tokens.is_empty() {
        return String::new();
    }
    let columns = ["ID", "STATE", "USES LEFT", "EXPIRES"].map(Column::kept);
    let mut table = Table::new(&columns);
    for token in tokens {
        let tone = if token.state == "valid" { Tone::Good } else { Tone::Faint };
        let uses = token.uses_left.map_or_else(|| "any".into(), |uses| uses.to_string());
        table.push([
            (&token.id).into(),
            Cell::new(&token.state, tone),
            uses.into(),
            moment(&token.expires_at).into(),
        ]);
    }
    table.render(canvas)
}

/// Makes a token worthless.
///
/// # Errors
/// The agent's refusal, or that it cannot be reached.
pub async fn revoke(session: &Session, args: TokenRevokeArgs) -> Result<Exit, Failure> {
    let mut agent = session.agent().await?;
    let request = pb::RevokeTokenRequest { id: args.id.clone() };
    answer("revoke the token", CHANGE_LIMIT, agent.revoke_token(request)).await?;
    note(&format!("token {} is revoked; nodes that joined with it stay\n", args.id));
    Ok(Exit::Done)
}
