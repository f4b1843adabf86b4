//! A systemd of the tests that takes jobs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use zbus::object_server::SignalEmitter;
use zbus::zvariant::OwnedObjectPath;
use zbus::{Connection, fdo, interface};

use super::super::{Listed, NO_JOB, Systemd};
use super::{Off, OneUnit, job, serve};

const OFF: OneUnit = OneUnit { active: Some("inactive"), job: NO_JOB };

/// All of its units are off. Each job is over at once, and fails if it is told so.
#[derive(Debug, Clone, Default)]
pub struct Jobs {
    told: Arc<Mutex<Told>>,
}

#[derive(Debug, Default)]
struct Told {
    /// The units that jobs were asked for, in their order.
    asked: Vec<String>,
    /// The unit whose jobs fail.
    failing: Option<String>,
    /// How many jobs of others end before a job is taken.
    others: u32,
}

impl Jobs {
    /// A connection to it, and its own end, which has to be kept.
    pub async fn serve(&self) -> zbus::Result<(Systemd, Connection)> {
        serve(self.clone()).await
    }

    /// From now on the jobs of this unit fail, and no others.
    pub fn fail(&self, unit: &str) {
        self.told.lock().unwrap().failing = Some(unit.to_owned());
    }

    /// From now on every job ends well.
    pub fn mend(&self) {
        self.told.lock().unwrap().failing = None;
    }

    /// From now on so many jobs of others end before one is taken, as at boot.
    pub fn be_busy(&self, others: u32) {
        self.told.lock().unwrap().others = others;
    }

    /// How often a job of this unit was asked for.
    pub fn asked(&self, unit: &str) -> usize {
        self.told.lock().unwrap().asked.iter().filter(|name| *name == unit).count()
    }

    /// Tells whoever follows a unit that something about it has changed.
    pub async fn tell_a_change(bus: &Connection) -> zbus::Result<()> {
        let unit = bus.object_server().interface::<_, Off>("/unit").await?;
        unit.get().await.control_group_changed(unit.signal_emitter()).await
    }

    async fn finish(
        &self,
        name: String,
        emitter: &SignalEmitter<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        let (number, result, others) = {
            let mut told = self.told.lock().unwrap();
            let fails = told.failing.as_ref() == Some(&name);
            told.asked.push(name.clone());
            (told.asked.len(), if fails { "failed" } else { "done" }, told.others)
        };
        let job = job(number)?;
        for other in 0..others {
            let number = usize::try_from(other).unwrap() + 1_000_000;
            Self::job_removed(emitter, other, super::job(number)?, "other.service", "done").await?;
        }
        // A short job is over before its number is told.
        let number = u32::try_from(number).unwrap();
        Self::job_removed(emitter, number, job.clone(), &name, result).await?;
        Ok(job)
    }
}

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Jobs {
    fn list_units_by_names(&self, names: Vec<String>) -> fdo::Result<Vec<Listed>> {
        OFF.list_units_by_names(names)
    }

    fn load_unit(&self, name: String) -> fdo::Result<OwnedObjectPath> {
        OFF.load_unit(name)
    }

    async fn start_unit(
        &self,
        name: String,
        _mode: String,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        self.finish(name, &emitter).await
    }

    async fn stop_unit(
        &self,
        name: String,
        _mode: String,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        self.finish(name, &emitter).await
    }

    #[zbus(signal)]
    async fn job_removed(
        emitter: &SignalEmitter<'_>,
        number: u32,
        job: OwnedObjectPath,
        unit: &str,
        result: &str,
    ) -> zbus::Result<()>;
}
