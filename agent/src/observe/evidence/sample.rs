//! An evidence record for tests: of the first boot, of a server that is stopped, with a data
//! directory that can be read and that never was in a cluster.

use relight_core::evidence::record::{
    DatadirIdentity, DatadirUse, EvidenceRecord, FileCopy, OptionValue, RecoveryRun, ServerOptions,
    TransferLeftovers,
};
use relight_core::ids::{BootId, Uuid};

pub(crate) fn record() -> EvidenceRecord {
    let never = b"WSREP: Recovered position: 00000000-0000-0000-0000-000000000000:-1\n";
    EvidenceRecord {
        number: 1,
        boot: BootId(Uuid::from_number(1)),
        datadir: DatadirIdentity {
            path: "/var/lib/mysql".into(),
            directory: None,
            tablespace: None,
            tablespace_bytes: None,
            mark: FileCopy::Absent,
        },
        datadir_use: DatadirUse::Free,
        grastate: FileCopy::Absent,
        gvwstate: FileCopy::Absent,
        leftovers: TransferLeftovers { files: Vec::new(), listed: true },
        options: ServerOptions {
            wsrep_on: OptionValue::Default,
            group: OptionValue::Default,
            cluster_address: OptionValue::Default,
            flush_at_commit: OptionValue::Default,
            provider_options: OptionValue::Default,
        },
        recovery: RecoveryRun::Ended { exit_code: Some(0), log_tail: never.to_vec() },
        traces: None,
    }
}
