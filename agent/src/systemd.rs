//! What is asked of systemd over D-Bus: the state of a unit, and jobs.
//!
//! The daemon has no rights of its own; polkit lets it start and stop exactly the units that
//! `packaging/` lists. Nothing here decides what is started when.

use std::time::Duration;

use tokio::time::timeout;
use zbus::export::ordered_stream::OrderedStreamExt;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, Message, Proxy};

const MANAGER: (&str, &str, &str) =
    ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");
const SERVICE: &str = "org.freedesktop.systemd1.Service";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SOCKET: &str = "org.freedesktop.systemd1.Socket";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// A row of `ListUnitsByNames`: name, description, load, active and sub state, whom it follows, its
/// path, and its job.
type Listed =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);
/// The number of a job that is not there.
const NO_JOB: u32 = 0;
/// How long systemd itself may take to answer a question.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// What systemd says of a unit. Asked once a second and more, so only what is needed is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitState {
    /// `ActiveState`.
    pub active: String,
    /// `SubState`.
    pub sub: String,
    /// `MainPID`, 0 when there is none; asked only of a unit that is starting or stopping.
    pub main_pid: Option<u32>,
    /// `ControlGroup`, empty when no process is in it; asked only of a unit that is off or stops.
    pub control_group: Option<String>,
    /// `InvocationID`: which run of the unit this is; asked only of one that stops or has failed.
    pub invocation: Option<String>,
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

impl SystemdError {
    /// Whether the connection is gone; it does not come back by itself.
    #[must_use]
    pub fn is_of_a_lost_connection(&self) -> bool {
        match self {
            Self::Bus { source, .. } => matches!(**source, zbus::Error::InputOutput(_)),
            Self::Slow { .. } | Self::Job { .. } => false,
        }
    }
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

/// The addresses of a socket unit's property `Listen`, whatever their kinds.
fn addresses(listens: &Value<'_>) -> Vec<String> {
    let Value::Array(rows) = listens else { return Vec::new() };
    let address = |row: &Value<'_>| {
        let Value::Structure(row) = row else { return None };
        let [_, Value::Str(address)] = row.fields() else { return None };
        Some(address.to_string())
    };
    rows.iter().filter_map(address).collect()
}

/// Which job `JobRemoved` tells of, and how it ended.
fn ended_job(signal: &Message) -> zbus::Result<(OwnedObjectPath, String)> {
    let (_, job, _, result): (u32, OwnedObjectPath, String, String) =
        signal.body().deserialize()?;
    Ok((job, result))
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
        self.in_time(unit, self.read_state(unit)).await
    }

    /// Whether a unit is starting, or is about to: at boot its job may still wait for others.
    ///
    /// # Errors
    /// systemd does not answer. Nothing follows from that about the unit.
    pub async fn is_starting(&self, unit: &str) -> Result<bool, SystemdError> {
        let (_, _, _, active, _, _, _, job, ..) = self.in_time(unit, self.listed(unit)).await?;
        Ok(active == "activating" || job != NO_JOB)
    }

    async fn in_time<T>(
        &self,
        unit: &str,
        question: impl Future<Output = zbus::Result<T>>,
    ) -> Result<T, SystemdError> {
        let bus = |source| SystemdError::Bus { unit: unit.to_owned(), source: Box::new(source) };
        let slow = |_| SystemdError::Slow { unit: unit.to_owned(), within: ANSWER_MAX };
        timeout(ANSWER_MAX, question).await.map_err(slow)?.map_err(bus)
    }

    async fn listed(&self, unit: &str) -> zbus::Result<Listed> {
        let (destination, path, interface) = MANAGER;
        let names = (vec![unit],);
        let listed = self
            .connection
            .call_method(Some(destination), path, Some(interface), "ListUnitsByNames", &names)
            .await?;
        let listed: Vec<Listed> = listed.body().deserialize()?;
        listed.into_iter().next().ok_or(zbus::Error::InterfaceNotFound)
    }

    /// One question for a unit that runs, two for any other: this is most of what the agent does at
    /// rest.
    async fn read_state(&self, unit: &str) -> zbus::Result<UnitState> {
        let (_, _, _, active, sub, _, path, ..) = self.listed(unit).await?;
        let (main_pid, control_group, invocation) = (None, None, None);
        let mut state = UnitState { active, sub, main_pid, control_group, invocation };
        let active = state.active.as_str();
        if matches!(active, "activating" | "deactivating") {
            state.main_pid = Some(self.property(&path, SERVICE, "MainPID").await?);
        }
        if matches!(active, "deactivating" | "inactive" | "failed") {
            let group: String = self.property(&path, SERVICE, "ControlGroup").await?;
            state.control_group = Some(populated(group));
        }
        if matches!(active, "deactivating" | "failed") {
            let id: Vec<u8> = self.property(&path, UNIT, "InvocationID").await?;
            state.invocation = Some(id.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        Ok(state)
    }

    /// The control group of a unit, empty when no process is in it, and its main process, 0 when
    /// there is none.
    ///
    /// # Errors
    /// systemd does not answer.
    pub async fn processes(&self, unit: &str) -> Result<(String, u32), SystemdError> {
        let asked = async {
            let path: OwnedObjectPath = self.manager().await?.call("LoadUnit", &(unit,)).await?;
            let group = self.property(&path, SERVICE, "ControlGroup").await?;
            Ok((group, self.property(&path, SERVICE, "MainPID").await?))
        };
        self.in_time(unit, asked).await
    }

    /// Where systemd itself listens, for whoever connects there to have a service started: the
    /// addresses of all socket units that are up.
    ///
    /// # Errors
    /// systemd does not answer. Nothing follows from that about who listens.
    pub async fn listening_at(&self) -> Result<Vec<String>, SystemdError> {
        let (destination, manager, interface) = MANAGER;
        let asked = async {
            let which = (vec!["active", "activating", "deactivating"], vec!["*.socket"]);
            let listed = self
                .connection
                .call_method(
                    Some(destination),
                    manager,
                    Some(interface),
                    "ListUnitsByPatterns",
                    &which,
                )
                .await?;
            let listed: Vec<Listed> = listed.body().deserialize()?;
            let mut found = Vec::new();
            for (_, _, _, _, _, _, unit, ..) in listed {
                let listens: OwnedValue = self.property(&unit, SOCKET, "Listen").await?;
                found.extend(addresses(&listens));
            }
            Ok(found)
        };
        self.in_time("its socket units", asked).await
    }

    /// A property of a unit, by the interface that has it.
    async fn property<T>(
        &self,
        unit: &OwnedObjectPath,
        interface: &str,
        name: &str,
    ) -> zbus::Result<T>
    where
        T: TryFrom<OwnedValue>,
        T::Error: Into<zbus::Error>,
    {
        let asked = (interface, name);
        let answer = self
            .connection
            .call_method(Some(MANAGER.0), unit, Some(PROPERTIES), "Get", &asked)
            .await?;
        let value: OwnedValue = answer.body().deserialize()?;
        T::try_from(value).map_err(Into::into)
    }

    /// Calls `changed` whenever systemd says that something about a unit has changed, until the bus
    /// goes away. A hint: what has changed, and whether a word of it was lost, is not told.
    ///
    /// # Errors
    /// systemd cannot be listened to.
    pub async fn follow(&self, unit: &str, changed: impl Fn()) -> Result<(), SystemdError> {
        let bus = |source| SystemdError::Bus { unit: unit.to_owned(), source: Box::new(source) };
        let manager = self.manager().await.map_err(bus)?;
        let path: OwnedObjectPath = manager.call("LoadUnit", &(unit,)).await.map_err(bus)?;
        let proxy = Proxy::new(&self.connection, MANAGER.0, path, PROPERTIES).await.map_err(bus)?;
        let mut signals = proxy.receive_signal("PropertiesChanged").await.map_err(bus)?;
        while signals.next().await.is_some() {
            changed();
        }
        Ok(())
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
        let asked = (unit, "replace");
        let taken = manager.call::<_, _, OwnedObjectPath>(method, &asked);
        tokio::pin!(taken);
        // At boot many jobs end before one is taken. What is not read of them fills the queue of
        // the connection, and then the answer does not come through either.
        let mut ended = Vec::new();
        let path = loop {
            tokio::select! {
                path = &mut taken => break path?,
                Some(signal) = removed.next() => ended.push(ended_job(&signal)?),
            }
        };
        if let Some((_, result)) = ended.into_iter().find(|(job, _)| *job == path) {
            return Ok(result);
        }
        while let Some(signal) = removed.next().await {
            let (job, result) = ended_job(&signal)?;
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

#[cfg(test)]
pub(crate) mod tests;
