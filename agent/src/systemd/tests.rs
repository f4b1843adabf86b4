#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

pub mod jobs;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use zbus::connection::Builder;
use zbus::object_server::Interface;
use zbus::zvariant::OwnedObjectPath;
use zbus::{Connection, Guid, fdo, interface};

use super::{Job, Listed, MANAGER, NO_JOB, Systemd, SystemdError};

/// How long a test waits for what has to come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A systemd that knows one unit, or answers nothing but errors.
#[derive(Debug, Clone, Copy)]
pub struct OneUnit {
    /// `ActiveState`; nothing when it refuses.
    pub active: Option<&'static str>,
    /// The number of its job, 0 for none.
    pub job: u32,
}

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl OneUnit {
    fn list_units_by_names(&self, names: Vec<String>) -> fdo::Result<Vec<Listed>> {
        let active = self.active.ok_or_else(|| fdo::Error::NoReply("busy".into()))?;
        let path =
            || OwnedObjectPath::try_from("/unit").map_err(|e| fdo::Error::Failed(e.to_string()));
        let row = |name| -> fdo::Result<Listed> {
            let none = String::new;
            Ok((
                name,
                none(),
                none(),
                active.into(),
                none(),
                none(),
                path()?,
                self.job,
                none(),
                path()?,
            ))
        };
        names.into_iter().map(row).collect()
    }

    fn list_units_by_patterns(
        &self,
        _states: Vec<String>,
        patterns: Vec<String>,
    ) -> fdo::Result<Vec<Listed>> {
        self.list_units_by_names(patterns)
    }

    fn load_unit(&self, _name: String) -> fdo::Result<OwnedObjectPath> {
        OwnedObjectPath::try_from("/unit").map_err(|error| fdo::Error::Failed(error.to_string()))
    }
}

impl OneUnit {
    /// A connection to it, and its own end, which has to be kept.
    pub async fn serve(self) -> zbus::Result<(Systemd, Connection)> {
        serve(self).await
    }

    /// The same, where systemd itself listens at this address.
    pub async fn listening_at(self, address: &str) -> zbus::Result<(Systemd, Connection)> {
        let (systemd, server) = serve(self).await?;
        let listens = Listens(vec![("Stream".to_owned(), address.to_owned())]);
        server.object_server().at("/unit", listens).await?;
        Ok((systemd, server))
    }
}

/// Where a socket unit listens.
struct Listens(Vec<(String, String)>);

#[interface(name = "org.freedesktop.systemd1.Socket")]
impl Listens {
    #[zbus(property)]
    fn listen(&self) -> Vec<(String, String)> {
        self.0.clone()
    }
}

/// The processes of every unit: there are none.
struct Off;

#[interface(name = "org.freedesktop.systemd1.Service")]
impl Off {
    #[zbus(property)]
    fn control_group(&self) -> String {
        String::new()
    }

    #[zbus(property, name = "MainPID")]
    fn main_pid(&self) -> u32 {
        0
    }
}

/// Which run of a unit it is.
struct Runs;

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl Runs {
    #[zbus(property, name = "InvocationID")]
    fn invocation(&self) -> Vec<u8> {
        vec![0xab; 16]
    }
}

async fn serve(manager: impl Interface) -> zbus::Result<(Systemd, Connection)> {
    let (ours, theirs) = tokio::net::UnixStream::pair()?;
    let server = Builder::unix_stream(theirs).server(Guid::generate())?.p2p();
    let server = server.serve_at(MANAGER.1, manager)?.serve_at("/unit", Off)?;
    let server = server.serve_at("/unit", Runs)?;
    let client = Builder::unix_stream(ours).p2p();
    let (server, connection) = tokio::try_join!(server.build(), client.build())?;
    Ok((Systemd { connection }, server))
}

/// A systemd whose units are off, and whose jobs take until the test ends them.
struct SlowUnits(watch::Sender<Vec<String>>);

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl SlowUnits {
    fn list_units_by_names(&self, names: Vec<String>) -> fdo::Result<Vec<Listed>> {
        OneUnit { active: Some("inactive"), job: NO_JOB }.list_units_by_names(names)
    }

    fn start_unit(&self, unit: String, _mode: String) -> fdo::Result<OwnedObjectPath> {
        self.0.send_modify(|begun| begun.push(unit));
        job(self.0.borrow().len())
    }
}

fn job(number: usize) -> fdo::Result<OwnedObjectPath> {
    let path = OwnedObjectPath::try_from(format!("/job/{number}"));
    path.map_err(|error| fdo::Error::Failed(error.to_string()))
}

/// The jobs of such a systemd.
pub struct SlowJobs {
    begun: watch::Receiver<Vec<String>>,
    server: Connection,
}

impl SlowJobs {
    /// A connection to that systemd, and its jobs.
    pub async fn serve() -> zbus::Result<(Systemd, Self)> {
        let (sender, begun) = watch::channel(Vec::new());
        let (systemd, server) = serve(SlowUnits(sender)).await?;
        Ok((systemd, Self { begun, server }))
    }

    /// The units that were started until now, each time they were.
    pub fn begun(&self) -> Vec<String> {
        self.begun.borrow().clone()
    }

    /// Waits until that many were started; gives the last.
    pub async fn begin(&self, count: usize) -> String {
        let mut begun = self.begun.clone();
        let enough = begun.wait_for(|begun| begun.len() >= count);
        let begun = timeout(PATIENCE, enough).await.expect("no further unit is started").unwrap();
        begun.last().unwrap().clone()
    }

    /// Ends the last of them.
    pub async fn end(&self, result: &str) {
        let (number, unit) = (self.begun().len(), self.begun().pop());
        let ended = (0_u32, job(number).unwrap(), unit.unwrap(), result);
        let (_, path, interface) = MANAGER;
        let to: Option<&str> = None;
        self.server.emit_signal(to, path, interface, "JobRemoved", &ended).await.unwrap();
    }
}

/// At boot a unit may be about to start, before it shows as starting.
#[tokio::test]
async fn a_unit_that_waits_for_its_turn_is_starting() {
    let cases = [
        (Some("activating"), 7, Some(true)),
        (Some("inactive"), 7, Some(true)),
        (Some("inactive"), 0, Some(false)),
        (Some("failed"), 0, Some(false)),
        (None, 0, None),
    ];
    for (active, job, starting) in cases {
        let (systemd, _server) = OneUnit { active, job }.serve().await.unwrap();
        let answer = systemd.is_starting("a.service").await.ok();
        assert_eq!(answer, starting, "{active:?} {job}");
    }
}

/// A connection to the bus does not come back by itself; whoever follows a unit has to learn it.
#[tokio::test]
async fn following_a_unit_ends_with_the_connection() {
    let (systemd, bus) = jobs::Jobs::default().serve().await.unwrap();
    let heard = Arc::new(Notify::new());
    let hear = heard.clone();
    let follow = async move { systemd.follow("a.service", || hear.notify_one()).await };
    let followed = tokio::spawn(follow);
    // What is told before it listens is lost.
    let tell = async {
        loop {
            jobs::Jobs::tell_a_change(&bus).await.unwrap();
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = heard.notified() => {}
        () = tell => {}
        () = sleep(PATIENCE) => panic!("a change of the unit was not heard"),
    }
    assert!(!followed.is_finished(), "it ends by itself");
    bus.close().await.unwrap();
    timeout(PATIENCE, followed).await.unwrap().unwrap().unwrap();
}

/// At boot many jobs end while systemd waits for polkit before it takes one of ours.
#[tokio::test]
async fn a_job_is_heard_among_many_that_end_before_it_is_taken() {
    let jobs = jobs::Jobs::default();
    let (systemd, _bus) = jobs.serve().await.unwrap();
    jobs.be_busy(500);
    systemd.run(Job::Start, "a.service", PATIENCE).await.unwrap();
    jobs.fail("a.service");
    let failed = systemd.run(Job::Start, "a.service", PATIENCE).await;
    assert!(matches!(failed, Err(SystemdError::Job { .. })), "{failed:?}");
}

/// Who would begin to follow a unit then learns it as well, and does not wait for better days; a
/// systemd that only refuses may be asked again.
#[tokio::test]
async fn a_lost_connection_is_told_from_a_refusal() {
    let (systemd, bus) = OneUnit { active: None, job: 0 }.serve().await.unwrap();
    let refused = systemd.state("a.service").await.unwrap_err();
    assert!(!refused.is_of_a_lost_connection(), "{refused:?}");
    bus.close().await.unwrap();
    let lost = timeout(PATIENCE, systemd.follow("a.service", || {})).await.unwrap().unwrap_err();
    assert!(lost.is_of_a_lost_connection(), "{lost:?}");
}
