//! One machine of the lab: power, files, commands, frozen processes.
//!
//! A node is an overlay over the image and a systemd in its own namespaces. All methods take
//! `&self`, so that several nodes can be handled from several threads at the same moment. Links
//! between nodes are the network's business.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::cgroup::ControlGroup;
use super::command::{Output, host, run_within};
use super::disk;
use super::network::Network;
use super::process::{ProcessMark, namespace_init_of};
use super::wait::{Wait, wait_until};

/// How long a command in a node may take where the caller gives no limit.
const EXEC_LIMIT: Duration = Duration::from_secs(60);
/// From power on until commands can be run. It takes about a second on an idle machine.
const BOOT_LIMIT: Duration = Duration::from_secs(60);
/// From SIGKILL until the kernel has cleared away the namespaces.
const OFF_LIMIT: Duration = Duration::from_secs(30);
/// systemd gives units 90 s to stop, MariaDB's unit asks for 900 s.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(180);
/// All of the environment of a command in a node.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The processes of a node that is on, as they stand in its folder for whoever cleans up.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Running {
    /// The supervisor on this machine.
    nspawn: ProcessMark,
    /// The node's first process; `None` while it is being started.
    init: Option<ProcessMark>,
}

#[derive(Debug, Default)]
struct Power {
    running: Option<Running>,
    /// Only if this very program started the node.
    child: Option<Child>,
}

/// One node of a [`super::Lab`].
#[derive(Debug)]
pub struct Node {
    name: String,
    address: Ipv4Addr,
    network: Network,
    cgroup: ControlGroup,
    folder: PathBuf,
    image: PathBuf,
    power: Mutex<Power>,
}

/// What makes a node, whether it is new or found again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Number of the lab.
    pub lab: u8,
    /// Index of the node in the lab, from 0.
    pub index: u8,
    /// The lab's folder.
    pub folder: &'a Path,
    /// The image's root.
    pub image: &'a Path,
}

impl Node {
    /// Finds a node again, on or off, as its folder tells.
    pub(super) fn at(place: Place<'_>) -> Self {
        let name = node_name(place.index);
        let network = Network::of(place.lab);
        let folder = place.folder.join(&name);
        let running = read_running(&folder);
        Self {
            address: network.node_address(place.index),
            network,
            cgroup: ControlGroup::named(place.lab, &name),
            image: place.image.to_owned(),
            power: Mutex::new(Power { running, child: None }),
            name,
            folder,
        }
    }

    /// `db-a`, `db-b`, and so on: the node's host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its only address, reachable from this machine and from the other nodes.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Makes the disk: an empty layer over the image, with the node's name and address.
    ///
    /// `hosts` is the content of `/etc/hosts` below the line for localhost.
    pub(super) fn create_disk(&self, hosts: &str) -> Result<()> {
        for part in ["upper", "work", "root"] {
            fs::create_dir_all(self.folder.join(part)).context("failed to make a node's folder")?;
        }
        self.mount()?;
        self.write_file("/etc/hostname", format!("{}\n", self.name))?;
        self.write_file("/etc/hosts", format!("127.0.0.1 localhost\n{hosts}"))?;
        self.write_file(
            "/etc/systemd/network/10-lab.network",
            format!(
                "[Match]\nName=host0\n\n[Network]\nAddress={}\nLinkLocalAddressing=no\n\
                 IPv6AcceptRA=no\nLLDP=no\nConfigureWithoutCarrier=yes\n",
                self.network.with_prefix(self.address)
            ),
        )
    }

    /// Throws the disk away: at the next start this is a machine fresh from the factory.
    ///
    /// # Errors
    /// If the node is on.
    pub fn wipe(&self) -> Result<()> {
        ensure!(!self.is_on(), "the disk of {} cannot be wiped while it is on", self.name);
        let hosts = self.read_file("/etc/hosts")?;
        disk::unmount(&self.folder.join("root"))?;
        for part in ["upper", "work"] {
            disk::remove_tree(&self.folder.join(part))?;
        }
        let hosts = String::from_utf8_lossy(&hosts).into_owned();
        self.create_disk(hosts.split_once('\n').map_or("", |(_, rest)| rest))
    }

    fn mount(&self) -> Result<()> {
        let part = |name: &str| self.folder.join(name).to_string_lossy().into_owned();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            self.image.display(),
            part("upper"),
            part("work")
        );
        host("mount", &["-t", "overlay", "overlay", "-o", &options, &part("root")]).map(drop)
    }

    /// Whether the node's first process runs.
    pub fn is_on(&self) -> bool {
        self.init().is_some()
    }

    /// Presses the power button: returns when the node's first process runs, long before it can be
    /// talked to. Measure recovery times from just before this call.
    ///
    /// # Errors
    /// If the node is on, or its first process does not appear.
    pub fn power_on(&self) -> Result<()> {
        ensure!(!self.is_on(), "{} is on already", self.name);
        let entrances = self.cgroup.create()?;
        // It may have gone off in a way that this handle has not seen.
        self.network.discard_port(&self.name)?;
        let child = self.spawn(&entrances)?;
        let pid = i32::try_from(child.id()).context("a process number is too large")?;
        let nspawn = ProcessMark::of(pid);
        let mut power = self.power();
        power.child = Some(child);
        let nspawn = nspawn.with_context(|| self.console_end("systemd-nspawn ended at once"))?;
        self.remember(&mut power, Running { nspawn, init: None })?;
        let init = wait_until("the node's first process runs", BOOT_LIMIT, || {
            match namespace_init_of(nspawn.pid) {
                Some(init) => Wait::Done(Some(init)),
                None if !nspawn.is_alive() => Wait::Done(None),
                None => Wait::Not("only systemd-nspawn".to_owned()),
            }
        })?;
        ensure!(init.is_some(), self.console_end("systemd-nspawn ended"));
        self.remember(&mut power, Running { nspawn, init })
    }

    /// Enters the node's control group first, so that all of the node lives in it.
    fn spawn(&self, entrances: &[PathBuf]) -> Result<Child> {
        const ENTER: &str = r#"while [ "$1" != -- ]; do echo $$ > "$1" || exit 1; shift; done
            shift; exec "$@""#;
        let console = File::create(self.folder.join("console.log"))
            .context("failed to open a node's console log")?;
        Command::new("/bin/sh")
            .args(["-c", ENTER, "sh"])
            .args(entrances)
            .args(["--", "systemd-nspawn", "--quiet", "--register=no", "--keep-unit"])
            .args(["--resolv-conf=off", "--timezone=off", "--link-journal=no", "--boot"])
            .arg(format!("--network-bridge={}", self.network.bridge()))
            .arg(format!("--machine={}", self.network.machine(&self.name)))
            .arg(format!("--directory={}", self.folder.join("root").display()))
            .env_clear()
            .env("PATH", PATH)
            // Nodes see what Debian gives them: version 2 control groups and nothing else.
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
            .stdin(Stdio::null())
            .stdout(console.try_clone().context("failed to share a console log")?)
            .stderr(console)
            // Ctrl-C at this program's terminal must not reach the nodes.
            .process_group(0)
            .spawn()
            .context("failed to start systemd-nspawn")
    }

    /// Switches on and waits until commands can be run and the address is set. MariaDB may still be
    /// starting.
    ///
    /// # Errors
    /// If the node is on, or does not come up within 60 s.
    pub fn boot(&self) -> Result<()> {
        self.power_on()?;
        self.wait_booted()
    }

    /// Waits for what [`Node::boot`] waits for.
    ///
    /// # Errors
    /// If the node does not come up within 60 s.
    pub fn wait_booted(&self) -> Result<()> {
        const READY: &str = "systemctl is-active -q basic.target && ip -4 -o addr show host0";
        wait_until(&format!("{} has booted", self.name), BOOT_LIMIT, || {
            match self.exec_within(&["sh", "-c", READY], Duration::from_secs(5)) {
                Ok(output) if output.stdout.contains(&format!(" {}/", self.address)) => {
                    Wait::Done(())
                }
                Ok(output) => Wait::Not(format!("{} {}", output.text(), output.stderr.trim())),
                Err(error) => Wait::Not(format!("{error:#}")),
            }
        })
    }

    /// Cuts the power: the node falls silent, its first process is killed, and the kernel ends all
    /// others with it. Nothing is flushed, and peers are not told. What was written without a sync
    /// is *not* lost, for the page cache belongs to this machine. Returns when the node is off. For
    /// several nodes at one moment see [`super::Lab::power_cut`].
    ///
    /// # Errors
    /// If the processes do not end within 30 s.
    pub fn power_cut(&self) -> Result<()> {
        self.network.silence(&[&self.name])?;
        self.kill();
        self.wait_dead()
    }

    /// Only for a node that has been silenced.
    pub(super) fn kill(&self) {
        if let Some(init) = self.init() {
            init.signal(Signal::SIGKILL);
        }
    }

    pub(super) fn wait_dead(&self) -> Result<()> {
        self.wait_off(OFF_LIMIT)
    }

    /// Asks systemd to power off and waits for the end.
    ///
    /// # Errors
    /// If the node is off, or takes more than 180 s.
    pub fn shutdown(&self) -> Result<()> {
        self.exec(&["systemctl", "poweroff", "--no-block"])?
            .expect_success("systemctl poweroff")?;
        self.wait_off(SHUTDOWN_LIMIT)
    }

    /// Waits until the node is off, whatever the reason.
    ///
    /// # Errors
    /// If it stays on for longer than `limit`.
    pub fn wait_off(&self, limit: Duration) -> Result<()> {
        let running = self.power().running;
        let Some(running) = running else { return Ok(()) };
        wait_until(&format!("{} is off", self.name), limit, || {
            if let Some(child) = self.power().child.as_mut() {
                // Takes note of its end, so that no dead process stays in the table.
                let _ = child.try_wait();
            }
            Wait::of(!running.nspawn.is_alive(), || "its supervisor runs".to_owned())
        })?;
        *self.power() = Power::default();
        self.network.discard_port(&self.name)?;
        match fs::remove_file(running_file(&self.folder)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("failed to note that a node is off")
            }
            _ => Ok(()),
        }
    }

    /// Runs a command in the node, at most for 60 s. The exit code is the caller's to judge.
    ///
    /// # Errors
    /// If the node is off, or the command does not end in time.
    pub fn exec(&self, args: &[&str]) -> Result<Output> {
        self.exec_within(args, EXEC_LIMIT)
    }

    /// Runs a command in the node, at most for `limit`, with a bare environment.
    ///
    /// # Errors
    /// If the node is off, or the command does not end in time.
    pub fn exec_within(&self, args: &[&str], limit: Duration) -> Result<Output> {
        run_within(self.entering(args)?, limit).with_context(|| format!("on {}", self.name))
    }

    /// A command that will run in the node, for callers who want its input and output themselves.
    ///
    /// # Errors
    /// If the node is off.
    pub fn entering(&self, args: &[&str]) -> Result<Command> {
        let init = self.init().with_context(|| format!("{} is off", self.name))?;
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &init.pid.to_string(), "-a", "--"])
            .args(args)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", "/root")
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "dumb");
        Ok(command)
    }

    /// Runs a shell script in the node that has to succeed, and gives its trimmed output.
    ///
    /// # Errors
    /// As [`Node::exec`], and if the script fails.
    pub fn sh(&self, script: &str) -> Result<String> {
        let output = self.exec(&["sh", "-c", script])?;
        let what = format!("{} on {}", script, self.name);
        Ok(output.expect_success(&what)?.text().to_owned())
    }

    /// Runs SQL as root over the node's socket: one line per row, columns parted by tabs.
    ///
    /// # Errors
    /// If the server refuses or does not answer within 30 s.
    pub fn sql(&self, statement: &str) -> Result<String> {
        let args = ["mariadb", "--batch", "--skip-column-names", "--execute", statement];
        let output = self.exec_within(&args, Duration::from_secs(30))?;
        let what = format!("{statement} on {}", self.name);
        Ok(output.expect_success(&what)?.stdout.trim_end().to_owned())
    }

    /// The value of one status variable, such as `wsrep_local_state_comment`.
    ///
    /// # Errors
    /// As [`Node::sql`], and if there is no such variable.
    pub fn status(&self, variable: &str) -> Result<String> {
        let row = self.sql(&format!("SHOW GLOBAL STATUS LIKE '{variable}'"))?;
        let (_, value) =
            row.split_once('\t').with_context(|| format!("no status variable `{variable}`"))?;
        Ok(value.to_owned())
    }

    /// Installs a package file as an administrator would; the image holds what it depends on.
    ///
    /// # Errors
    /// If the file cannot be read, or `dpkg` fails.
    pub fn install_deb(&self, deb: &Path) -> Result<()> {
        let inside = "/root/package-under-test.deb";
        self.copy_in(deb, inside)?;
        self.sh(&format!("DEBIAN_FRONTEND=noninteractive dpkg --install {inside}"))?;
        self.sh(&format!("rm {inside}")).map(drop)
    }

    /// Where a file of the node lies on this machine, whether the node is on or off.
    pub fn path_of(&self, path: &str) -> PathBuf {
        let root = match self.init() {
            // Sees what is mounted inside as well, such as /run.
            Some(init) => PathBuf::from(format!("/proc/{}/root", init.pid)),
            None => self.folder.join("root"),
        };
        root.join(path.trim_start_matches('/'))
    }

    /// Reads a file of the node, on or off.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        fs::read(self.path_of(path)).with_context(|| format!("failed to read {}:{path}", self.name))
    }

    /// Writes a file of the node, on or off, and the folders above it. A file that is there keeps
    /// its owner and mode, a new one belongs to root: this is how state files are torn.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_file(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let place = self.path_of(path);
        place
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&place, content))
            .with_context(|| format!("failed to write {}:{path}", self.name))
    }

    /// Copies a file of this machine, with its mode, to a path in the node, on or off.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn copy_in(&self, from: &Path, to: &str) -> Result<()> {
        let place = self.path_of(to);
        place
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::copy(from, &place))
            .map(drop)
            .with_context(|| format!("failed to copy `{}` to {}:{to}", from.display(), self.name))
    }

    /// Stops every process of the node at once; connections stay open and nobody answers.
    ///
    /// # Errors
    /// If the node is off, or this kernel cannot do it.
    pub fn freeze(&self) -> Result<()> {
        self.freeze_group(true)
    }

    /// Undoes [`Node::freeze`].
    ///
    /// # Errors
    /// As [`Node::freeze`].
    pub fn thaw(&self) -> Result<()> {
        self.freeze_group(false)
    }

    fn freeze_group(&self, frozen: bool) -> Result<()> {
        ensure!(self.is_on(), "{} is off", self.name);
        self.cgroup.freeze(frozen)
    }

    /// Stops the main process of a unit (SIGSTOP); `mariadb` hangs like this on a dead disk.
    ///
    /// # Errors
    /// If the unit has no main process.
    pub fn freeze_unit(&self, unit: &str) -> Result<()> {
        self.signal_unit(unit, "STOP")
    }

    /// Undoes [`Node::freeze_unit`].
    ///
    /// # Errors
    /// As [`Node::freeze_unit`].
    pub fn thaw_unit(&self, unit: &str) -> Result<()> {
        self.signal_unit(unit, "CONT")
    }

    /// Kills the main process of a unit (SIGKILL), as the kernel does when memory runs out.
    ///
    /// # Errors
    /// If the unit has no main process.
    pub fn kill_unit(&self, unit: &str) -> Result<()> {
        self.signal_unit(unit, "KILL")
    }

    fn signal_unit(&self, unit: &str, signal: &str) -> Result<()> {
        let pid = self.sh(&format!("systemctl show --property=MainPID --value {unit}"))?;
        if pid == "0" {
            bail!("{unit} on {} has no main process", self.name);
        }
        self.sh(&format!("kill -{signal} {pid}")).map(drop)
    }

    /// Copies console, journal and Galera's state files into a folder, on or off.
    ///
    /// # Errors
    /// If the folder cannot be written. What cannot be read is left out.
    pub fn save_logs(&self, folder: &Path) -> Result<()> {
        let folder = folder.join(&self.name);
        fs::create_dir_all(&folder)
            .with_context(|| format!("failed to make `{}`", folder.display()))?;
        let _ = fs::copy(self.folder.join("console.log"), folder.join("console.log"));
        for file in ["grastate.dat", "gvwstate.dat"] {
            let from = self.folder.join("root/var/lib/mysql").join(file);
            let _ = fs::copy(from, folder.join(file));
        }
        let journal = self.folder.join("root/var/log/journal");
        let args = ["--no-pager", "-o", "short-precise", "-D", &journal.to_string_lossy()];
        if let Ok(text) = host("journalctl", &args) {
            let _ = fs::write(folder.join("journal.txt"), text);
        }
        Ok(())
    }

    fn init(&self) -> Option<ProcessMark> {
        self.power().running.and_then(|running| running.init).filter(ProcessMark::is_alive)
    }

    fn power(&self) -> MutexGuard<'_, Power> {
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, power: &mut Power, running: Running) -> Result<()> {
        power.running = Some(running);
        let text = serde_json::to_vec(&running).context("failed to write down a process")?;
        fs::write(running_file(&self.folder), text).context("failed to note that a node is on")
    }

    fn console_end(&self, what: &str) -> String {
        let console = fs::read(self.folder.join("console.log")).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        let end: Vec<&str> = console.lines().rev().take(5).collect();
        let end: Vec<&str> = end.into_iter().rev().collect();
        format!("{what} on {}: {}", self.name, end.join(" / "))
    }
}

/// `db-a` for 0; a lab has at most seven nodes.
pub(super) fn node_name(index: u8) -> String {
    format!("db-{}", char::from(b'a'.saturating_add(index)))
}

/// Ends what may still run of a node that nobody holds a handle of, and unmounts its disk.
pub(super) fn clear_away(folder: &Path, cgroup: &ControlGroup) -> Result<()> {
    let began = Instant::now();
    if let Some(running) = read_running(folder) {
        let marks = [running.init, Some(running.nspawn)];
        marks.iter().flatten().for_each(|mark| mark.signal(Signal::SIGKILL));
        cgroup.kill();
        wait_until("a node's processes have ended", OFF_LIMIT, || {
            Wait::of(!marks.iter().flatten().any(ProcessMark::is_alive), || "alive".to_owned())
        })?;
    }
    cgroup.kill();
    while cgroup.remove().is_err() && began.elapsed() < OFF_LIMIT {
        std::thread::sleep(Duration::from_millis(20));
    }
    disk::unmount(&folder.join("root"))
}

fn running_file(folder: &Path) -> PathBuf {
    folder.join("running.json")
}

fn read_running(folder: &Path) -> Option<Running> {
    serde_json::from_slice(&fs::read(running_file(folder)).ok()?).ok()
}
