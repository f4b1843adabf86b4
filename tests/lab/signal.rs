//! Clears labs away when the program is asked to end, which runs no destructor.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use super::record;

/// Whether the program was asked to end.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Whether this program was asked to end: its labs are being cleared away under whoever still works
/// with them, and what fails then is no news.
pub fn is_ending() -> bool {
    ENDING.load(Ordering::SeqCst)
}

/// Starts, once in a program, a thread that waits for SIGINT, SIGTERM and SIGHUP.
pub(super) fn clear_away_on_signal() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            if runtime.block_on(asked_to_end()).is_ok() {
                ENDING.store(true, Ordering::SeqCst);
                eprintln!("\nthe lab is being cleared away");
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
