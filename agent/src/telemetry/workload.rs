//! What is known of workloads, as metrics and in the detail of readiness. A Kubernetes API that does not answer costs names, so it is told, but
//! the agent is ready without it.

use serde_json::{Map, Value, json};

use super::prometheus::Kind::{Counter, Gauge};
use super::prometheus::Page;
use super::state::Reading;
use crate::workload::{Missing, View, WatchState};

/// Adds the metrics.
pub(super) fn metrics(page: &mut Page, reading: &Reading) {
    let Some(view) = &reading.workloads else {
        return;
    };
    watches(page, view);
    for (name, help, value) in [
        (
            "meshtap_cgroups",
            "Cgroups known, with those gone a short while ago.",
            view.cgroups,
        ),
        (
            "meshtap_containers",
            "Cgroups of containers.",
            view.containers,
        ),
        (
            "meshtap_excluded_cgroups",
            "Cgroups that the kernel side leaves alone.",
            view.excluded,
        ),
        ("meshtap_pods", "Pods known.", view.pods),
        (
            "meshtap_workload_addresses",
            "Addresses of pods and services known.",
            view.addresses,
        ),
    ] {
        page.single(Gauge, name, help, value);
    }
    page.single(
        Counter,
        "meshtap_cgroup_exclusion_failures_total",
        "Times that the kernel side did not take a cgroup's scope.",
        view.exclusion_failures,
    );
    page.single(
        Counter,
        "meshtap_workload_refused_total",
        "Objects of the Kubernetes API that found no room.",
        view.refused,
    );
    let outcomes = &reading.outcomes;
    let mut identified = page.metric(
        Counter,
        "meshtap_exchanges_identified_total",
        "Exchanges by what became of their pods' names: known at once, after a wait, or told without.",
    );
    identified.sample(&[("result", "at_once")], outcomes.at_once);
    identified.sample(&[("result", "waited")], outcomes.waited);
    identified.sample(&[("result", "overflow")], outcomes.overflow);
    for (missing, count) in Missing::ALL.iter().zip(outcomes.without) {
        let result = format!("without_{}", missing.label());
        identified.sample(&[("result", &result)], count);
    }
}

fn watches(page: &mut Page, view: &View) {
    let mut synced = page.metric(
        Gauge,
        "meshtap_kubernetes_synced",
        "Whether what is known of the Kubernetes API is complete and followed.",
    );
    for watch in &view.watches {
        let is_synced = u8::from(watch.state == WatchState::Synced);
        synced.sample(&[("watch", watch.name)], is_synced);
    }
    let mut errors = page.metric(
        Counter,
        "meshtap_kubernetes_errors_total",
        "Listings and watches of the Kubernetes API that failed.",
    );
    for watch in &view.watches {
        errors.sample(&[("watch", watch.name)], watch.errors);
    }
    let mut listings = page.metric(
        Counter,
        "meshtap_kubernetes_listings_total",
        "Full listings of the Kubernetes API.",
    );
    for watch in &view.watches {
        listings.sample(&[("watch", watch.name)], watch.listings);
    }
}

/// For `/readyz`.
pub(super) fn detail(reading: &Reading) -> Value {
    let Some(view) = &reading.workloads else {
        return Value::Null;
    };
    let watches: Map<_, _> = view
        .watches
        .iter()
        .map(|watch| {
            let mut state = json!({ "state": watch.state.label() });
            if let WatchState::Off(reason) | WatchState::Lost(reason) = &watch.state {
                state["reason"] = json!(reason);
            }
            (watch.name.to_owned(), state)
        })
        .collect();
    json!({ "watches": watches, "pods": view.pods, "containers": view.containers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::WatchView;

    #[test]
    fn a_lost_watch_is_told_with_its_reason() {
        let reading = Reading {
            workloads: Some(View {
                watches: vec![WatchView {
                    name: "node_pods",
                    state: WatchState::Lost("pods is forbidden (403)".to_owned()),
                    errors: 3,
                    listings: 0,
                }],
                ..View::default()
            }),
            ..Reading::default()
        };
        let detail = detail(&reading);
        assert_eq!(detail["watches"]["node_pods"]["state"], "lost");
        let reason = &detail["watches"]["node_pods"]["reason"];
        assert_eq!(reason, "pods is forbidden (403)");
        let mut page = Page::default();
        metrics(&mut page, &reading);
        let page = page.finish();
        assert!(page.contains("meshtap_kubernetes_synced{watch=\"node_pods\"} 0\n"));
        assert!(page.contains("meshtap_kubernetes_errors_total{watch=\"node_pods\"} 3\n"));
        assert!(page.contains("meshtap_exchanges_identified_total{result=\"without_pod\"} 0\n"));
    }
}
