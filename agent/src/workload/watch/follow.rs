//! Lists a kind of object, then watches it from there, for ever.
//!
//! * A watch that ends is taken up where it was: every object, and every bookmark of the server's,
//!   says where that is.
//! * `410 Gone` (that place is no longer known) and a page that has expired mean: list again.
//! * After any failure there is a wait ([`Pace`]), also when the server ends watches as soon as
//!   they begin.
//! * A listing replaces what was known: what is not in it is gone.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use kube::api::{ListParams, VersionMatch, WatchEvent, WatchParams};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

use super::pace::Pace;
use crate::clock::{WallClock, monotonic};
use crate::flow::Nanos;
use crate::workload::directory::{Arrival, Directory, Watch};

/// Objects of one page: a megabyte or two.
const PAGE: u32 = 500;
/// A watch is ended by the server after 240 to 290 s, by chance (the API refuses more than 295).
const WATCH_SECONDS: std::ops::Range<u32> = 240..290;
/// The server sends a bookmark every minute. After two without one, nobody is there.
const SILENCE: Duration = Duration::from_secs(130);
/// Longest wait for a page.
const LIST: Duration = Duration::from_secs(60);
/// Longest wait for a watch to start.
const START: Duration = Duration::from_secs(30);

/// What to follow.
pub(super) struct Target {
    pub(super) client: Client,
    pub(super) directory: Arc<Directory>,
    pub(super) watch: Watch,
    /// Wait before the first listing.
    pub(super) delay: Duration,
    /// Field selector.
    pub(super) selector: Option<String>,
    /// In pages, from the API server's store. Otherwise in one response, from its cache.
    pub(super) paged: bool,
}

/// A kind of object that the directory takes.
pub(super) trait Watched:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static
{
    /// It is so.
    fn applied(self, directory: &Directory, watch: Watch, arrival: &Arrival);
    /// It is gone.
    fn deleted(self, directory: &Directory, watch: Watch, now: Nanos);
    /// A listing is complete.
    fn listed(directory: &Directory, watch: Watch, arrival: &Arrival);
}

/// Why a watch is not followed any further from where it is.
enum Broken {
    /// The place is no longer known to the server.
    Gone,
    /// Anything else.
    Failed(String),
}

impl From<kube::Error> for Broken {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 410 => Self::Gone,
            error => Self::Failed(said(error)),
        }
    }
}

/// What the API server says, and what to do about it where that is known.
pub(super) fn said(error: &kube::Error) -> String {
    let kube::Error::Api(status) = error else {
        return sentence(error);
    };
    match status.code {
        401 => "the API server does not accept these credentials (401 Unauthorized): the token or \
                the client certificate has expired, or is of another cluster; in a pod, start it \
                again and see that its ServiceAccount is there; else renew the file that \
                kubernetes.kubeconfig names"
            .to_owned(),
        code => format!("{} ({code})", status.message),
    }
}

/// An error with its causes: the first alone is often "client error (Connect)".
pub(super) fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Follows a kind of object. Never ends.
pub(super) async fn follow<K: Watched>(target: Target) {
    sleep(target.delay).await;
    let api: Api<K> = Api::all(target.client.clone());
    let mut follower = Follower {
        target,
        api,
        pace: Pace::default(),
        listing: 0,
    };
    loop {
        match follower.list().await {
            Ok(version) => follower.watch(version).await,
            // A page has expired.
            Err(Broken::Gone) => follower.pause("the listing has expired".to_owned()).await,
            Err(Broken::Failed(reason)) => follower.pause(reason).await,
        }
    }
}

struct Follower<K> {
    target: Target,
    api: Api<K>,
    pace: Pace,
    listing: u64,
}

impl<K: Watched> Follower<K> {
    /// Lists all; the place to watch from.
    async fn list(&mut self) -> Result<String, Broken> {
        self.listing += 1;
        let mut params = ListParams {
            field_selector: self.target.selector.clone(),
            ..ListParams::default()
        };
        if self.target.paged {
            params.limit = Some(PAGE);
        } else {
            params.resource_version = Some("0".to_owned());
            params.version_match = Some(VersionMatch::NotOlderThan);
        }
        loop {
            let page = timeout(LIST, self.api.list(&params))
                .await
                .map_err(|_| Broken::Failed("no response to a listing".to_owned()))??;
            let arrival = self.arrival();
            for object in page.items {
                object.applied(&self.target.directory, self.target.watch, &arrival);
            }
            let next = page.metadata.continue_.filter(|token| !token.is_empty());
            match next {
                Some(token) => params.continue_token = Some(token),
                None => {
                    K::listed(&self.target.directory, self.target.watch, &arrival);
                    let name = self.target.watch.label();
                    if self.target.directory.health.synced(self.target.watch) {
                        tracing::info!(watch = name, "in step with the Kubernetes API");
                    }
                    return page
                        .metadata
                        .resource_version
                        .ok_or_else(|| Broken::Failed("a listing without a version".to_owned()));
                }
            }
        }
    }

    /// Watches until that cannot go on from where it is.
    async fn watch(&mut self, mut version: String) {
        loop {
            match self.watch_once(&mut version).await {
                Ok(()) => {}
                Err(Broken::Gone) => {
                    let watch = self.target.watch.label();
                    tracing::info!(watch, "too far behind the Kubernetes API: listing again");
                    return;
                }
                Err(Broken::Failed(reason)) => self.pause(reason).await,
            }
        }
    }

    /// One request. It ends well when the server ended it in time.
    async fn watch_once(&mut self, version: &mut String) -> Result<(), Broken> {
        let params = WatchParams {
            field_selector: self.target.selector.clone(),
            timeout: Some(fastrand::Rng::with_seed(crate::hash::random()).u32(WATCH_SECONDS)),
            bookmarks: true,
            ..WatchParams::default()
        };
        let started = timeout(START, self.api.watch(&params, version)).await;
        let stream = started.map_err(|_| Broken::Failed("no response to a watch".to_owned()))??;
        let mut stream = std::pin::pin!(stream);
        let began = monotonic();
        self.pace.established();
        if self.target.directory.health.heard(self.target.watch) {
            let watch = self.target.watch.label();
            tracing::info!(watch, "in step with the Kubernetes API again");
        }
        loop {
            let next = timeout(SILENCE, stream.next()).await;
            let Some(event) = next.map_err(|_| Broken::Failed("no sign of life".to_owned()))?
            else {
                let lived = monotonic().saturating_sub(began);
                return if lived < 1_000_000_000 {
                    Err(Broken::Failed("the watch ended as it began".to_owned()))
                } else {
                    Ok(())
                };
            };
            let directory = &self.target.directory;
            match event? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    note(version, object.meta().resource_version.as_deref());
                    object.applied(directory, self.target.watch, &self.arrival());
                }
                WatchEvent::Deleted(object) => {
                    note(version, object.meta().resource_version.as_deref());
                    object.deleted(directory, self.target.watch, monotonic());
                }
                WatchEvent::Bookmark(bookmark) => {
                    note(version, Some(&bookmark.metadata.resource_version));
                }
                WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
            }
        }
    }

    async fn pause(&mut self, reason: String) {
        let (watch, now) = (self.target.watch, monotonic());
        let wait = self.pace.after_failure();
        let is_new = self
            .target
            .directory
            .health
            .lost(watch, reason.clone(), now);
        if is_new {
            tracing::warn!(
                watch = watch.label(),
                reason,
                "out of step with the Kubernetes API"
            );
        }
        sleep(wait).await;
    }

    fn arrival(&self) -> Arrival {
        Arrival {
            now: monotonic(),
            clock: WallClock::now(),
            listing: self.listing,
        }
    }
}

fn note(version: &mut String, seen: Option<&str>) {
    if let Some(seen) = seen.filter(|seen| !seen.is_empty()) {
        seen.clone_into(version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_refuses_is_one_sentence() {
        #[track_caller]
        fn check(code: u16, message: &str, words: &[&str]) {
            let status = kube::core::Status::failure(message, "").with_code(code);
            let text = said(&kube::Error::Api(Box::new(status)));
            assert!(!text.contains('{') && !text.contains('\n'), "{text}");
            for word in words {
                assert!(text.contains(word), "{text}");
            }
        }
        check(
            401,
            "Unauthorized",
            &["401 Unauthorized", "kubernetes.kubeconfig"],
        );
        check(403, "pods is forbidden", &["pods is forbidden (403)"]);
    }
}
