//! What is known of workloads, as metrics and in the detail of readiness. A Kubernetes API that
//! does not respond costs names, so it is reported, but the agent is ready without it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use super::families::Families;
use super::state::Reading;
use crate::workload::{Missing, Reason, View, WatchState, WatchView, WorkloadName};

/// Adds the metrics.
pub(super) fn metrics(page: &mut Families<'_>, reading: &Reading) -> fmt::Result {
    let Some(view) = &reading.workloads else {
        return Ok(());
    };
    watches(page, view)?;
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
            "Cgroups whose sockets are excluded from capture.",
            view.excluded,
        ),
        ("meshtap_pods", "Pods known.", view.pods),
        (
            "meshtap_workload_addresses",
            "Addresses of pods and services known.",
            view.addresses,
        ),
    ] {
        page.gauge(name, help, value)?;
    }
    page.counter(
        "meshtap_cgroup_exclusion_failures",
        "Times that the scope of a cgroup could not be set in the kernel.",
        view.exclusion_failures,
    )?;
    page.counter(
        "meshtap_workload_refused",
        "Objects of the Kubernetes API that found no room.",
        view.refused,
    )?;
    attribution(page, reading)
}

/// What became of exchanges as far as their pods go.
fn attribution(page: &mut Families<'_>, reading: &Reading) -> fmt::Result {
    let outcomes = &reading.outcomes;
    let without = Missing::ALL.iter().zip(outcomes.without);
    let without = without.map(|(missing, n)| (format!("without_{}", missing.label()), n));
    let results = [
        ("at_once".to_owned(), outcomes.at_once),
        ("waited".to_owned(), outcomes.waited),
        ("overflow".to_owned(), outcomes.overflow),
        ("uncertain".to_owned(), outcomes.uncertain),
    ];
    page.counters(
        "meshtap_exchanges_identified",
        "Exchanges by the result of the lookup of their pods: known at once, after a wait, uncertain, or emitted without.",
        results.into_iter().chain(without).map(|(result, n)| ([("result", result)], n)),
    )?;
    fn each(
        totals: &BTreeMap<WorkloadName, u64>,
    ) -> impl Iterator<Item = ([(&'static str, &str); 2], u64)> {
        totals.iter().map(|(name, n)| {
            let labels = [("namespace", &*name.namespace), ("workload", &*name.name)];
            (labels, *n)
        })
    }
    page.counters(
        "meshtap_workload_evicted_connections",
        "Connections dropped for room, by the workload that held more than its share.",
        each(&reading.evictions),
    )?;
    page.counters(
        "meshtap_workload_dropped_bytes",
        "Payload bytes not copied while the ring buffer was short, by the workload that had more than its share of it.",
        each(&reading.refused),
    )?;
    let excluded = Reason::ALL.iter().zip(outcomes.excluded);
    page.counters(
        "meshtap_exchanges_excluded",
        "Exchanges not emitted for their workload's sake, by reason.",
        excluded.map(|(reason, n)| ([("reason", reason.label())], n)),
    )
}

fn watches(page: &mut Families<'_>, view: &View) -> fmt::Result {
    let each = |read: fn(&WatchView) -> u64| {
        let sample = move |watch: &WatchView| ([("watch", watch.name)], read(watch));
        view.watches.iter().map(sample)
    };
    page.gauges(
        "meshtap_kubernetes_synced",
        "Whether what is known of the Kubernetes API is complete and followed.",
        each(|watch| u64::from(watch.state == WatchState::Synced)),
    )?;
    page.counters(
        "meshtap_kubernetes_errors",
        "Listings and watches of the Kubernetes API that failed.",
        each(|watch| watch.errors),
    )?;
    page.counters(
        "meshtap_kubernetes_listings",
        "Full listings of the Kubernetes API.",
        each(|watch| watch.listings),
    )
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
    json!({
        "watches": watches,
        "pods": view.pods,
        "containers": view.containers,
        "telemetry_not_honoured": view.complaints,
    })
}

#[cfg(test)]
mod tests {
    use super::super::families::Format;
    use super::super::metrics::page;
    use super::*;

    #[test]
    fn a_lost_watch_is_reported_with_its_reason() {
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
        let page = page(reading, Format::Prometheus);
        assert!(page.contains("meshtap_kubernetes_synced{watch=\"node_pods\"} 0\n"));
        assert!(page.contains("meshtap_kubernetes_errors_total{watch=\"node_pods\"} 3\n"));
        assert!(page.contains("meshtap_exchanges_identified_total{result=\"without_pod\"} 0\n"));
    }
}
