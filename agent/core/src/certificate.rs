//! Certificates: when one is renewed, what the server still has to be told of it, and when people
//! are warned.
//!
//! Dates decide nothing else. Who is a member says the roster; a clock may be wrong, and no
//! recovery may fail for it.

use core::fmt;
use core::time::Duration;

use crate::ledger::settings::Settings;

const DAY: u64 = 24 * 60 * 60;
/// How long a certificate lives unless the cluster says otherwise (`identity.certificate_life`).
pub const LIFE: Duration = Duration::from_secs(90 * DAY);
/// By how much the clocks of two members may differ.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(300);
/// How often the dates are looked at: 24 times in a life, and not more often, or less often, than
/// this. A clock that is set right after the boot is noticed soon.
const LOOK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// How long the next certificate of a cluster with these settings lives.
#[must_use]
pub fn life_of(settings: &Settings) -> Duration {
    Duration::from_secs(u64::from(settings.certificate_life_s))
}

/// From when until when a certificate is meant to be used, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// When it was made, by the clock of who made it.
    pub made: u64,
    /// Its last second.
    pub ends: u64,
}

impl Lifetime {
    /// How long it was meant to live.
    #[must_use]
    pub fn whole(self) -> u64 {
        self.ends.saturating_sub(self.made)
    }

    /// Whether this part of its life, a fraction, has passed.
    fn has_passed(self, (numerator, denominator): (u64, u64), now: u64) -> bool {
        let age = now.saturating_sub(self.made);
        age.saturating_mul(denominator) >= self.whole().saturating_mul(numerator)
    }

    /// Whether its end is near: less than a sixth of its life is left, and it should have been
    /// renewed long ago.
    #[must_use]
    pub fn is_near_its_end(self, now: u64) -> bool {
        self.has_passed((5, 6), now)
    }
}

/// Whether a certificate is renewed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It is good for a while.
    NotDue,
    /// A new one is made.
    Due(Why),
    /// The clock stands before the time at which it was made: it is wrong now, or was wrong then.
    /// A certificate with a date of such a clock may be refused by everybody else.
    ClockBehind,
}

/// Why a certificate is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Two thirds of its life have passed.
    Age,
    /// It would live longer than certificates are meant to live from now on.
    TooLong,
    /// The agent and its server shared one, as in earlier builds.
    Shared,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Age => "two thirds of its life had passed",
            Self::TooLong => "it would have lived longer than certificates live now",
            Self::Shared => "the agent and its server had one in common",
        })
    }
}

/// Whether a certificate is renewed now. `life` is how long the next one would live, `ca_ends` the
/// last second of who signs it: what would not live longer than the present one is not made.
#[must_use]
pub fn renewal(present: Lifetime, life: Duration, ca_ends: u64, now: u64) -> Renewal {
    if now.saturating_add(CLOCK_SKEW_MAX.as_secs()) < present.made {
        return Renewal::ClockBehind;
    }
    let next_ends = now.saturating_add(life.as_secs()).min(ca_ends);
    if present.whole() > life.as_secs() && next_ends < present.ends {
        return Renewal::Due(Why::TooLong);
    }
    if present.has_passed((2, 3), now) && next_ends > present.ends {
        return Renewal::Due(Why::Age);
    }
    Renewal::NotDue
}

/// How often the dates are looked at.
#[must_use]
pub fn look_every(life: Duration) -> Duration {
    let (least, greatest) = LOOK;
    (life / 24).clamp(least, greatest)
}

/// By how much a certificate for verifiers that judge dates outlives its life: theirs may be the
/// clock that is ahead, just before the renewal. Never more than half of the life.
#[must_use]
pub fn allowance(life: Duration) -> Duration {
    CLOCK_SKEW_MAX.min(life / 2)
}

/// SHA-256 of a certificate: which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

/// A certificate that something uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Which one.
    pub which: Fingerprint,
    /// Its time.
    pub lifetime: Lifetime,
}

/// What the database server has of this node's certificates, as far as this life of the agent
/// knows. Nothing is not known, and then it is done once more: both acts can be repeated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerHas {
    /// What was last written into the server's files.
    pub written: Option<Used>,
    /// What was in the files when the server was last made to load them. Whatever was started
    /// since has read them at its start.
    pub loaded: Option<Used>,
}

/// What is done next, so that the server uses the newest certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerStep {
    /// Nothing is left to do.
    Nothing,
    /// The files are written.
    Write,
    /// The server is made to load them.
    Load,
}

impl ServerHas {
    /// What is done next about this certificate, for a server that runs. One that is off gets its
    /// files before its start.
    #[must_use]
    pub fn next(&self, newest: Used) -> ServerStep {
        let is_newest = |used: &Option<Used>| used.is_some_and(|it| it.which == newest.which);
        if !is_newest(&self.written) {
            return ServerStep::Write;
        }
        if is_newest(&self.loaded) { ServerStep::Nothing } else { ServerStep::Load }
    }

    /// The files hold this one now.
    pub fn wrote(&mut self, used: Used) {
        self.written = Some(used);
    }

    /// The server is off. The next one reads the files at its start.
    pub fn stopped(&mut self) {
        self.loaded = None;
    }

    /// The server has loaded its files, in which this one was.
    pub fn has_loaded(&mut self, used: Used) {
        self.loaded = Some(used);
    }
}

/// What people are warned of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worry {
    /// The clock is, or was, wrong.
    ClockBehind {
        /// When this node's certificate was made.
        made: u64,
    },
    /// The last try to renew failed.
    NotRenewed {
        /// When the present one ends.
        ends: u64,
    },
    /// The agent's own certificate is near its end.
    AgentNearEnd {
        /// When it ends.
        ends: u64,
    },
    /// The server was not made to use the newest certificate, and the last try failed.
    NotLoaded {
        /// When the one ends that it uses; nothing when it is not known which one that is.
        ends: Option<u64>,
    },
    /// The certificate that the server uses is near its end.
    ServerNearEnd {
        /// When it ends.
        ends: u64,
    },
    /// The cluster's CA ends within a year.
    CaNearEnd {
        /// When it ends.
        ends: u64,
    },
}

/// How the certificates of a node stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The newest one of this node.
    pub newest: Lifetime,
    /// How long the next one would live.
    pub life: Duration,
    /// The last second of the CA.
    pub ca_ends: u64,
    /// The last try to renew failed.
    pub renewal_failed: bool,
    /// What the server has; nothing where its certificates are none of ours.
    pub server: Option<ServerHas>,
    /// The last try to have the server use the newest one failed.
    pub server_failed: bool,
}

impl Standing {
    /// What people are warned of, the nearest to its cause first.
    #[must_use]
    pub fn worries(&self, now: u64) -> Vec<Worry> {
        let mut worries = Vec::new();
        let ends = self.newest.ends;
        if renewal(self.newest, self.life, self.ca_ends, now) == Renewal::ClockBehind {
            worries.push(Worry::ClockBehind { made: self.newest.made });
        } else if self.renewal_failed {
            worries.push(Worry::NotRenewed { ends });
        } else if self.newest.is_near_its_end(now) {
            worries.push(Worry::AgentNearEnd { ends });
        }
        if let Some(server) = self.server {
            let loaded = server.loaded.map(|it| it.lifetime);
            if self.server_failed {
                worries.push(Worry::NotLoaded { ends: loaded.map(|it| it.ends) });
            } else if let Some(old) = loaded.filter(|it| it.is_near_its_end(now)) {
                worries.push(Worry::ServerNearEnd { ends: old.ends });
            }
        }
        if self.ca_ends.saturating_sub(now) < 365 * DAY {
            worries.push(Worry::CaNearEnd { ends: self.ca_ends });
        }
        worries
    }
}

#[cfg(test)]
mod tests;
