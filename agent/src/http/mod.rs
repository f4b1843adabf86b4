//! What programs ask over HTTP (7382): metrics, health, and clustercheck; and `HAProxy`'s
//! agent-check over TCP (7383).
//!
//! Everything is read from the last published picture: no lock, no database. Nothing here changes
//! anything, and nothing that a client sends besides method and path is looked at. Slow and
//! hostile clients are bounded: see [`Limits`].

mod check;
mod crowd;
mod metrics;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use relight_core::clients::serving::Asker;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

pub use self::check::{DatabaseHealth, database_health};
use self::crowd::accept_all;
use crate::snapshot::Picture;

/// Datagrams that the gossip dropped, by reason; read at each scrape.
pub type DroppedGossip = Arc<dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync>;

/// The last published picture.
pub type Pictures = watch::Receiver<Arc<Picture>>;

/// What one client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time until the head of a request is there.
    pub head: Duration,
    /// Time until an answer is taken; one connection carries one request.
    pub whole: Duration,
    /// Connections at one time. One more ends the oldest: an honest client is long gone.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: Duration::from_secs(2), whole: Duration::from_secs(5), connections: 64 }
    }
}

/// Bytes that the head of a request may have; hyper's least.
const HEAD_BYTES_MAX: usize = 8 * 1024;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves HTTP until it is dropped.
pub async fn serve_http(
    listener: TcpListener,
    pictures: Pictures,
    dropped: DroppedGossip,
    limits: Limits,
) {
    accept_all(listener, limits.connections, |stream| {
        http_connection(stream, pictures.clone(), dropped.clone(), limits)
    })
    .await;
}

/// Answers `HAProxy`'s agent-check until it is dropped: one line, then the connection ends.
pub async fn serve_agent_check(listener: TcpListener, pictures: Pictures, limits: Limits) {
    accept_all(listener, limits.connections, |stream| {
        agent_check_connection(stream, pictures.clone(), limits)
    })
    .await;
}

async fn http_connection(
    stream: TcpStream,
    pictures: Pictures,
    dropped: DroppedGossip,
    limits: Limits,
) {
    let asker = check::asker(stream.peer_addr().ok().map(|peer| peer.ip()));
    let answer = service_fn(move |request: Request<Incoming>| {
        let picture = pictures.borrow().clone();
        let asked = (request.method(), request.uri().path(), asker);
        let response = respond(asked, &picture, &dropped);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), answer);
    // Whatever a client does wrong is its own trouble; a log line for it would be a weapon.
    let _ = timeout(limits.whole, connection).await;
}

async fn agent_check_connection(mut stream: TcpStream, pictures: Pictures, limits: Limits) {
    let asker = check::asker(stream.peer_addr().ok().map(|peer| peer.ip()));
    let health = database_health(&pictures.borrow().clone(), Instant::now(), asker);
    let line = agent_check_line(&health);
    let _ = timeout(limits.whole, async {
        stream.write_all(line.as_bytes()).await?;
        stream.shutdown().await
    })
    .await;
}

/// `up` and the weight, or `down #` and the reason up to the end of the line.
///
/// Never `ready`: that would end a maintenance (`maint`, `drain`) that an operator has set, and
/// Relight sets none.
fn agent_check_line(health: &DatabaseHealth) -> String {
    if health.serves {
        return format!("up {}%\n", health.weight);
    }
    let reason: String = health.reason.chars().filter(|letter| !letter.is_control()).collect();
    format!("down #{reason}\n")
}

fn respond(
    (method, path, asker): (&Method, &str, Asker),
    picture: &Picture,
    dropped: &DroppedGossip,
) -> Response<Full<Bytes>> {
    let reads = method == Method::GET || method == Method::HEAD;
    // HAProxy's `option httpchk` asks with OPTIONS unless it is told otherwise.
    let checks = reads || method == Method::OPTIONS;
    let now = Instant::now();
    let of = |good: bool| if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match path {
        "/" if checks => {
            let health = database_health(picture, now, asker);
            plain(of(health.serves), TEXT, format!("{}\n", health.reason))
        }
        "/health/live" if reads => plain(StatusCode::OK, TEXT, "alive\n".to_owned()),
        "/health/ready" if reads => {
            let ready = check::readiness(picture, now);
            let text = ready.as_ref().map_or_else(|why| why.as_str(), |()| "ready");
            plain(of(ready.is_ok()), TEXT, format!("{text}\n"))
        }
        "/health/db" if reads => {
            let health = database_health(picture, now, asker);
            match serde_json::to_string(&health) {
                Ok(json) => plain(of(health.serves), JSON, json + "\n"),
                Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error.to_string()),
            }
        }
        "/metrics" if reads => match metrics::render(picture, &dropped(), now) {
            Ok(text) => plain(StatusCode::OK, OPEN_METRICS, text),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error.to_string()),
        },
        "/" | "/health/live" | "/health/ready" | "/health/db" | "/metrics" => {
            let text = "this can only be read\n".to_owned();
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
            let allowed = if path == "/" { "GET, HEAD, OPTIONS" } else { "GET, HEAD" };
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            response
        }
        _ => {
            let paths = "/, /health/live, /health/ready, /health/db, /metrics\n";
            plain(StatusCode::NOT_FOUND, TEXT, format!("there is only {paths}"))
        }
    }
}

fn plain(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // An answer of a moment ago is of no use to anybody.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
