//! The text of `/etc/mysql/mariadb.conf.d/70-relight.cnf`.
//!
//! Pure: a checked request in, a text out. The name 70 lets the distribution's files (50, 60) come
//! first. Timeouts and weights of `pc.*` and `evs.*` stay as they are: recovery rests on Galera's
//! own arithmetic, not on tuned numbers. Only how often members repeat themselves while they look
//! for each other is another number in a start that Relight orders ([`SEEKING`]).

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use relight_core::clients::listening::Listening;

use super::config_request::GaleraRequest;

/// Name of the file.
pub const CONFIG_FILE: &str = "70-relight.cnf";

/// Where the certificates lie; readable by root and the group `mysql`.
pub const TLS_DIR: &str = "/etc/mysql/relight";

/// Name of the CA's file in [`TLS_DIR`].
pub const CA_FILE: &str = "ca.pem";
/// Name of the file with the certificate and its key. One file, so that whoever reads them, and
/// whatever a power loss leaves, always has two that belong together.
pub const PAIR_FILE: &str = "node.pem";
/// Names under which earlier builds wrote the certificate and the key. A server that they started
/// reads them for as long as it runs.
pub const EARLIER_FILES: [&str; 2] = ["node-cert.pem", "node-key.pem"];

/// How servers that are started together find each other sooner: members repeat their join message
/// and their sign of life, and look who has fallen silent, every 0.3 s instead of every second,
/// every second and half a second.
///
/// Servers that start at the same moment first see nobody, each makes a view of its own, and the
/// views merge with the next repeated message: after 0.5 to 4.1 s with Galera's numbers, 0.4 to
/// 0.6 s with these (docs/decisions/2026-11-25-measuring.md, also why not faster). How long a
/// silent member is waited for (`evs.suspect_timeout`, `evs.inactive_timeout`) is something else
/// and stays.
pub const SEEKING: [(&str, &str); 3] = [
    ("evs.join_retrans_period", "PT0.3S"),
    ("evs.inactive_check_period", "PT0.3S"),
    ("evs.keepalive_period", "PT0.3S"),
];

/// Renders the file. `provider` is Galera's library on this machine.
///
/// The request must have passed [`GaleraRequest::check`].
#[must_use]
pub fn render(request: &GaleraRequest, provider: &Path) -> String {
    let members: Vec<String> = request.members.iter().map(host).collect();
    let mut text = String::from(
        "# Written by relightd and written anew whenever the cluster changes. Your own settings\n\
         # belong into another file; `manage_config = false` in /etc/relight/relight.toml leaves\n\
         # Galera's configuration to you.\n\n[mysqld]\n",
    );
    let mut line = |name: &str, value: &str| {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{name} = {value}");
    };
    line("wsrep_on", "ON");
    line("wsrep_provider", &provider.display().to_string());
    line("wsrep_cluster_name", &request.group);
    line("wsrep_cluster_address", &format!("gcomm://{}", members.join(",")));
    line("wsrep_node_name", request.node.as_str());
    line("wsrep_node_address", &host(&request.address));
    line("wsrep_provider_options", &format!("\"{}\"", provider_options(request)));
    line("wsrep_sst_method", "mariabackup");
    // The user mysql, known by its unix socket; the password is empty on purpose.
    line("wsrep_sst_auth", "mysql:");
    // Galera replicates rows of InnoDB, and interleaved auto-increment locks only.
    line("binlog_format", "ROW");
    line("default_storage_engine", "InnoDB");
    line("innodb_autoinc_lock_mode", "2");
    // An acknowledged commit is on this node's disk: without it a power loss of all nodes loses
    // rows (facts/lab.md, R12).
    line("innodb_flush_log_at_trx_commit", "1");
    // Lifted by the agent once the formation is opened (R14).
    line("read_only", "ON");
    let listen = match &request.listening {
        Listening::Unchanged => None,
        Listening::All => Some("*".to_owned()),
        Listening::At(addresses) => {
            Some(addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
        }
    };
    if let Some(addresses) = listen {
        line("skip_networking", "0");
        line("bind_address", &addresses);
    }
    if request.tls.is_some() {
        text.push_str("\n[sst]\n");
        // 4: both sides show a certificate, and both check it against the CA.
        let _ = write!(
            text,
            "encrypt = 4\ntca = {TLS_DIR}/{CA_FILE}\ntcert = {TLS_DIR}/{PAIR_FILE}\n\
             tkey = {TLS_DIR}/{PAIR_FILE}\n"
        );
    }
    text
}

fn provider_options(request: &GaleraRequest) -> String {
    let mut options = vec![format!("gmcast.segment={}", request.segment)];
    if request.tls.is_some() {
        options.push("socket.ssl=yes".into());
        options.push(format!("socket.ssl_ca={TLS_DIR}/{CA_FILE}"));
        options.push(format!("socket.ssl_cert={TLS_DIR}/{PAIR_FILE}"));
        options.push(format!("socket.ssl_key={TLS_DIR}/{PAIR_FILE}"));
        if request.mixed_tls {
            options.push("socket.dynamic=yes".into());
        }
    }
    if request.address.is_ipv6() {
        // Galera listens on IPv4 only unless it is told.
        let scheme = if request.tls.is_some() { "ssl" } else { "tcp" };
        options.push(format!("gmcast.listen_addr={scheme}://[::]:4567"));
    }
    options.extend(request.provider_options.iter().map(|(key, value)| format!("{key}={value}")));
    options.join(";")
}

/// An address as Galera takes it: IPv6 in brackets.
fn host(address: &IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use relight_core::evidence::record::OptionValue;

    use super::super::config_request::TlsMaterial;
    use super::super::config_request::tests::request;
    use super::*;
    use crate::server::options::EffectiveOptions;

    const PROVIDER: &str = "/usr/lib/galera/libgalera_smm.so";

    /// The lines of a section, as the server's tools would print them.
    fn section(text: &str, name: &str) -> Vec<String> {
        let (_, rest) = text.split_once(&format!("[{name}]\n")).unwrap_or_default();
        let part = rest.split("\n[").next().unwrap_or_default();
        part.lines()
            .filter_map(|line| line.split_once(" = "))
            .map(|(key, value)| format!("--{key}={}", value.trim_matches('"')))
            .collect()
    }

    #[test]
    fn the_file_says_what_recovery_rests_on() {
        let text = render(&request(), Path::new(PROVIDER));
        let options = EffectiveOptions::parse(&section(&text, "mysqld").join("\n"));
        let set = |name: &str| match options.value(name) {
            OptionValue::Set(value) => value,
            OptionValue::Default | OptionValue::Unknown => String::new(),
        };
        assert_eq!(set("wsrep_cluster_name"), "prod.f3");
        assert_eq!(set("wsrep_cluster_address"), "gcomm://10.0.0.1,10.0.0.2");
        assert_eq!(set("innodb_flush_log_at_trx_commit"), "1");
        assert_eq!(set("read_only"), "ON");
        assert_eq!(set("wsrep_provider_options"), "gmcast.segment=1;gcache.size=1G");
        assert_eq!(set("bind_address"), "");
        assert!(options.bootstrap_options().is_empty());
        assert_eq!(section(&text, "sst"), Vec::<String>::new());
    }

    #[test]
    fn where_the_server_listens_is_written_only_if_it_was_chosen() {
        let mut request = request();
        let listens = |request: &GaleraRequest| {
            request.check().unwrap();
            let text = render(request, Path::new(PROVIDER));
            let lines = text.lines().filter(|line| {
                line.starts_with("bind_address") || line.starts_with("skip_networking")
            });
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(listens(&request).is_empty());
        request.listening = Listening::All;
        assert_eq!(listens(&request), ["skip_networking = 0", "bind_address = *"]);
        let addresses = ["10.0.0.1", "127.0.0.1", "fd00::1"].map(|it| it.parse().unwrap());
        request.listening = Listening::At(addresses.into());
        let at = "bind_address = 10.0.0.1,127.0.0.1,fd00::1";
        assert_eq!(listens(&request), ["skip_networking = 0", at]);
        for wrong in [Vec::new(), vec!["0.0.0.0"], vec!["10.0.0.1", "224.0.0.1"]] {
            let list = wrong.iter().map(|it| it.parse().unwrap()).collect();
            request.listening = Listening::At(list);
            assert!(request.check().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_start_may_carry_numbers_for_finding_each_other() {
        let mut request = request();
        request.provider_options =
            SEEKING.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        request.check().unwrap();
        let text = render(&request, Path::new(PROVIDER));
        assert!(text.contains(
            ";evs.inactive_check_period=PT0.3S;evs.join_retrans_period=PT0.3S;\
                 evs.keepalive_period=PT0.3S\""
        ));
        // How long a silent member is waited for is not among them.
        assert!(!text.contains("timeout"), "{text}");
    }

    #[test]
    fn with_certificates_both_channels_are_encrypted() {
        let empty = String::new;
        let tls = TlsMaterial { ca: empty(), certificate: empty(), key: empty() };
        let mut request = request();
        request.tls = Some(tls);
        let text = render(&request, Path::new(PROVIDER));
        assert!(text.contains("socket.ssl=yes;socket.ssl_ca=/etc/mysql/relight/ca.pem;"));
        assert!(!text.contains("socket.dynamic"));
        assert_eq!(section(&text, "sst").first().unwrap(), "--encrypt=4");
        assert_eq!(section(&text, "sst").len(), 4);
        request.mixed_tls = true;
        assert!(render(&request, Path::new(PROVIDER)).contains(";socket.dynamic=yes;"));
    }

    #[test]
    fn ipv6_addresses_stand_in_brackets() {
        let mut request = request();
        request.address = "fd00::1".parse().unwrap();
        request.members = vec![request.address, "fd00::2".parse().unwrap()];
        let text = render(&request, Path::new(PROVIDER));
        assert!(text.contains("gcomm://[fd00::1],[fd00::2]\n"), "{text}");
        assert!(text.contains("wsrep_node_address = [fd00::1]\n"));
        assert!(text.contains("gmcast.listen_addr=tcp://[::]:4567"), "{text}");
    }
}
