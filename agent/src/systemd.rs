//! What is asked of systemd over D-Bus: the state of a unit, and jobs.
//!
//! The daemon has no rights of its own; polkit lets it start and stop exactly the units that
//! `packaging/` lists. Nothing here decides what is started when.

use std::time::Duration;

use tokio::time::timeout;
use zbus::export::ordered_stream::OrderedStreamExt;
use zbus::zvariant::OwnedObjectPath;
use zbus::{Connection, Proxy};

const MANAGER: (&str, &str, &str) =
    ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";
/// How long systemd itself may take to answer a question.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// What systemd says of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitState {
    /// `LoadState`: `loaded`, `not-found`, `masked`.
    pub load: String,
    /// `ActiveState`.
    pub active: String,
    /// `SubState`.
    pub sub: String,
    /// `Result` of the last run.
    pub result: String,
    /// `MainPID`; 0 when there is none.
    pub main_pid: u32,
    /// `ControlGroup`; empty when no process is in it.
    pub control_group: String,
    /// `InvocationID` of the present or last run, in hexadecimal.
    pub invocation: String,
}

/// What is to be done with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// `StartUnit`.
    Start,
    /// `StopUnit`.
    Stop,
}

/// Why systemd did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// The bus or systemd cannot be reached, or systemd refuses.
    #[error("failed to ask systemd about {unit}")]
    Bus {
        /// The unit.
        unit: String,
        /// Why.
        source: Box<zbus::Error>,
    },
    /// It did not answer in time.
    #[error("systemd did not finish with {unit} within {} s", within.as_secs())]
    Slow {
        /// The unit.
        unit: String,
        /// How long was waited.
        within: Duration,
    },
    /// The job ended otherwise than `done`.
    #[error("the job for {unit} ended as `{result}`")]
    Job {
        /// The unit.
        unit: String,
        /// `failed`, `canceled`, `timeout`, `dependency` or `skipped`.
        result: String,
    },
}

/// The connection to systemd.
#[derive(Debug, Clone)]
pub struct Systemd {
    connection: Connection,
}

/// The control group, unless the kernel says that nobody is in it: systemd may keep its name.
fn populated(control_group: String) -> String {
    let events = format!("/sys/fs/cgroup{control_group}/cgroup.events");
    match std::fs::read_to_string(events) {
        Ok(text) if text.lines().any(|line| line == "populated 0") => String::new(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Ok(_) | Err(_) => control_group,
    }
}

impl Systemd {
    /// Connects to the system bus.
    ///
    /// # Errors
    /// The bus is not there.
    pub async fn connect() -> Result<Self, SystemdError> {
        let bus = |source| SystemdError::Bus { unit: "itself".into(), source: Box::new(source) };
        let connection = Connection::system().await.map_err(bus)?;
        let this = Self { connection };
        let manager = this.manager().await.map_err(bus)?;
        let () = manager.call("Subscribe", &()).await.map_err(bus)?;
        Ok(this)
    }

    async fn manager(&self) -> zbus::Result<Proxy<'static>> {
        let (destination, path, interface) = MANAGER;
        Proxy::new(&self.connection, destination, path, interface).await
    }

    /// The state of a unit.
    ///
    /// # Errors
    /// systemd does not answer. Nothing follows from that about the unit.
    pub async fn state(&self, unit: &str) -> Result<UnitState, SystemdError> {
        let bus = |source| SystemdError::Bus { unit: unit.to_owned(), source: Box::new(source) };
        let slow = |_| SystemdError::Slow { unit: unit.to_owned(), within: ANSWER_MAX };
        timeout(ANSWER_MAX, self.read_state(unit)).await.map_err(slow)?.map_err(bus)
    }

    async fn read_state(&self, unit: &str) -> zbus::Result<UnitState> {
        let manager = self.manager().await?;
        let path: OwnedObjectPath = manager.call("LoadUnit", &(unit,)).await?;
        let proxy = async |interface: &'static str| {
            zbus::proxy::Builder::<Proxy<'static>>::new(&self.connection)
                .destination(MANAGER.0)?
                .path(path.clone())?
                .interface(interface)?
                .cache_properties(zbus::proxy::CacheProperties::No)
                .build()
                .await
        };
        let generic = proxy(UNIT).await?;
        let service = proxy(SERVICE).await?;
        let id: Vec<u8> = generic.get_property("InvocationID").await?;
        Ok(UnitState {
            load: generic.get_property("LoadState").await?,
            active: generic.get_property("ActiveState").await?,
            sub: generic.get_property("SubState").await?,
            result: service.get_property("Result").await.unwrap_or_default(),
            main_pid: service.get_property("MainPID").await.unwrap_or(0),
            control_group: populated(service.get_property("ControlGroup").await?),
            invocation: id.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    /// Starts or stops a unit and waits until systemd is done with it.
    ///
    /// # Errors
    /// systemd refuses, takes longer than `within` (the job goes on then), or the job fails.
    pub async fn run(&self, job: Job, unit: &str, within: Duration) -> Result<(), SystemdError> {
        let bus = |source| SystemdError::Bus { unit: unit.to_owned(), source: Box::new(source) };
        let slow = |_| SystemdError::Slow { unit: unit.to_owned(), within };
        let result = timeout(within, self.finish(job, unit)).await.map_err(slow)?.map_err(bus)?;
        if result == "done" {
            Ok(())
        } else {
            Err(SystemdError::Job { unit: unit.to_owned(), result })
        }
    }

    async fn finish(&self, job: Job, unit: &str) -> zbus::Result<String> {
        let manager = self.manager().await?;
        // Listen first: a short job can be over before its number is known.
        let mut removed = manager.receive_signal("JobRemoved").await?;
        let method = match job {
            Job::Start => "StartUnit",
            Job::Stop => "StopUnit",
        };
        let path: OwnedObjectPath = manager.call(method, &(unit, "replace")).await?;
        while let Some(signal) = removed.next().await {
            let (_, job, _, result): (u32, OwnedObjectPath, String, String) =
                signal.body().deserialize()?;
            if job == path {
                return Ok(result);
            }
        }
        Err(zbus::Error::InputOutput(std::sync::Arc::new(std::io::Error::other(
            "the bus went away",
        ))))
    }

    /// Starts a unit without waiting for it: a server that joins may take hours.
    ///
    /// # Errors
    /// systemd refuses to queue it.
    pub async fn begin(&self, unit: &str) -> Result<(), SystemdError> {
        let bus = |source| SystemdError::Bus { unit: unit.to_owned(), source: Box::new(source) };
        let manager = self.manager().await.map_err(bus)?;
        let _: OwnedObjectPath =
            manager.call("StartUnit", &(unit, "replace")).await.map_err(bus)?;
        Ok(())
    }
}
