//! Clears labs away when the program is asked to end, which runs no destructor.

use std::sync::Once;

use tokio::signal::unix::{SignalKind, signal};

use super::record;

/// Starts, once in a program, a thread that waits for SIGINT, SIGTERM and SIGHUP.
pub(super) fn clear_away_on_signal() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            if runtime.block_on(asked_to_end()).is_ok() {
                eprintln!("the lab is being cleared away");
                record::clear_away_own();
                // What shells report for a program that Ctrl-C ended.
                std::process::exit(130);
            }
        });
    });
}

async fn asked_to_end() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
