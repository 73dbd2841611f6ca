//! A request without spans: whether a collector takes what this agent sends, and if not, why.

use std::io;
use std::sync::Arc;

use tokio::runtime::Builder;

use super::client::Client;
use super::response::Outcome;
use super::settings::Settings;
use super::worker::Transport as _;
use crate::export::Batch;

/// Sends one request without spans, over the same connection, with the same headers and the same
/// credentials as any other. Waits for the response as long as the settings say.
///
/// # Errors
/// When there is no runtime; else what the collector said, or why it could not be asked.
pub fn greet(settings: &Settings) -> io::Result<Result<(), String>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(async {
        let client = Client::new(settings, Arc::new(()));
        let payload = client.prepare(&Batch::default())?;
        match client.send(payload).await {
            Outcome::Taken { .. } => Ok(()),
            Outcome::Retry { message, .. } | Outcome::Refused { message } => Err(message),
        }
    }))
}
