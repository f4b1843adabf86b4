//! A record of the evidence unit for tests: of the first boot, of a server that crashed at
//! [`SEQNO`] in a view of one member.

use super::record::{
    DatadirIdentity, DatadirUse, EvidenceRecord, FileCopy, FileStamp, OptionValue, RecoveryRun,
    ServerOptions, ServerTraces, TransferLeftovers,
};
use crate::files::grastate::render_grastate;
use crate::ids::{BootId, FileIdentity, HistoryId, Uuid};

/// Where it crashed.
pub const SEQNO: u64 = 1042;
/// Its view, as Galera writes it.
pub const VIEW: &str = "my_uuid: 23452ccc-e505-11f1-bde7-8f14eaf94c92\n#vwbeg\n\
    view_id: 3 23452ccc-e505-11f1-bde7-8f14eaf94c92 3\nbootstrap: 0\n\
    member: 23452ccc-e505-11f1-bde7-8f14eaf94c92 0\n#vwend\n";

pub fn history() -> HistoryId {
    HistoryId::from_number(5)
}

pub fn boot(number: u64) -> BootId {
    BootId(Uuid::from_number(number))
}

/// The traces after so many starts of a server in the directory.
pub fn traces(starts: i64) -> ServerTraces {
    let directory = FileIdentity { device: 1, inode: 2 };
    let identity = FileIdentity { device: 1, inode: 3 };
    let stamp = FileStamp { identity, bytes: 52, modified: (starts, 0), changed: (starts, 0) };
    ServerTraces { directory, files: [Some(stamp), None, None] }
}

pub fn record() -> EvidenceRecord {
    let log_tail = format!("WSREP: Recovered position: {}:{SEQNO}\n", history()).into_bytes();
    EvidenceRecord {
        number: 1,
        boot: boot(1),
        datadir: DatadirIdentity {
            path: "/var/lib/mysql".into(),
            directory: Some(FileIdentity { device: 1, inode: 2 }),
            tablespace: None,
            tablespace_bytes: None,
            mark: FileCopy::Absent,
        },
        datadir_use: DatadirUse::Free,
        grastate: FileCopy::Content(render_grastate(Some(history()), None, false).into()),
        gvwstate: FileCopy::Content(VIEW.into()),
        leftovers: TransferLeftovers { files: Vec::new(), listed: true },
        options: ServerOptions {
            wsrep_on: OptionValue::Set("ON".into()),
            group: OptionValue::Default,
            cluster_address: OptionValue::Default,
            flush_at_commit: OptionValue::Default,
            provider_options: OptionValue::Default,
        },
        recovery: RecoveryRun::Ended { exit_code: Some(0), log_tail },
        traces: Some(traces(1)),
    }
}
