//! The BPF programs' own diagnostics (aya-log), handed to `tracing`. Loaded and drained only when
//! asked for.

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Level, Log, Metadata, Record};

/// Reads the diagnostics.
pub(super) struct Diagnostics(EbpfLogger<ToTracing>);

impl Diagnostics {
    /// `None` when the object has none.
    pub(super) fn new(ebpf: &mut Ebpf) -> Option<Self> {
        match EbpfLogger::init_with_logger(ebpf, ToTracing) {
            Ok(logger) => Some(Self(logger)),
            Err(error) => {
                tracing::warn!(%error, "no diagnostics from the BPF programs");
                None
            }
        }
    }

    /// Passes on what has come.
    pub(super) fn flush(&mut self) {
        self.0.flush();
    }
}

struct ToTracing;

impl Log for ToTracing {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let message = record.args();
        match record.level() {
            Level::Error => tracing::error!(target: "meshtap_ebpf", "{message}"),
            Level::Warn => tracing::warn!(target: "meshtap_ebpf", "{message}"),
            Level::Info => tracing::info!(target: "meshtap_ebpf", "{message}"),
            Level::Debug => tracing::debug!(target: "meshtap_ebpf", "{message}"),
            Level::Trace => tracing::trace!(target: "meshtap_ebpf", "{message}"),
        }
    }

    fn flush(&self) {}
}
