//! The kinds of objects that are followed: what each update means.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::follow::Watched;
use super::objects::{GrpcRoute, HttpRoute, Namespace, Pod, Service, Telemetry};
use crate::flow::Nanos;
use crate::signal::route::{RouteKind, RouteObject};
use crate::workload::directory::{Arrival, Deleted, Directory, Watch};
use crate::workload::pod;

impl Watched for Pod {
    fn applied(self, directory: &Directory, watch: Watch, arrival: &Arrival) {
        if let Some(pod) = pod::Pod::new(self, directory.choice()) {
            directory.pod_applied(pod, watch, arrival);
        }
    }

    fn deleted(self, directory: &Directory, watch: Watch, now: Nanos) {
        let has_ended = matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let deleted = match self.status.is_running() && !has_ended {
            true => Deleted::Running,
            false => Deleted::Ended,
        };
        if let Some(uid) = &self.metadata.uid {
            directory.pod_deleted(uid, watch, deleted, now);
        }
    }

    fn listed(directory: &Directory, watch: Watch, arrival: &Arrival) {
        directory.pods_listed(watch, arrival);
    }
}

impl Watched for Namespace {
    fn applied(self, directory: &Directory, _: Watch, arrival: &Arrival) {
        directory.namespace_applied(&self, arrival.listing);
    }

    fn deleted(self, directory: &Directory, _: Watch, _: Nanos) {
        if let Some(name) = &self.metadata.name {
            directory.namespace_deleted(name);
        }
    }

    fn listed(directory: &Directory, _: Watch, arrival: &Arrival) {
        directory.namespaces_listed(arrival.listing);
    }
}

impl Watched for Service {
    fn applied(self, directory: &Directory, _: Watch, arrival: &Arrival) {
        directory.rules.service_applied(&self, arrival.listing);
        directory.service_applied(&self, arrival);
    }

    fn deleted(self, directory: &Directory, _: Watch, now: Nanos) {
        if let Some(uid) = &self.metadata.uid {
            directory.rules.service_deleted(uid);
            directory.service_deleted(uid, now);
        }
    }

    fn listed(directory: &Directory, _: Watch, arrival: &Arrival) {
        directory.rules.services_listed(arrival.listing);
        directory.services_listed(arrival);
    }
}

impl Watched for Telemetry {
    fn applied(self, directory: &Directory, _: Watch, arrival: &Arrival) {
        if !directory.rules.applied(&self, arrival.listing) {
            directory.health.refused();
        }
    }

    fn deleted(self, directory: &Directory, _: Watch, _: Nanos) {
        if let Some(uid) = &self.metadata.uid {
            directory.rules.deleted(uid);
        }
    }

    fn listed(directory: &Directory, _: Watch, arrival: &Arrival) {
        directory.rules.listed(arrival.listing);
    }
}

/// The kinds of routes differ in nothing but their names.
macro_rules! watched_route {
    ($object:ty, $kind:expr) => {
        impl Watched for $object {
            fn applied(self, directory: &Directory, _: Watch, arrival: &Arrival) {
                route_applied(directory, $kind, &self.metadata, &self.spec, arrival);
            }

            fn deleted(self, directory: &Directory, _: Watch, _: Nanos) {
                if let Some(uid) = &self.metadata.uid {
                    directory.routes.deleted($kind, uid);
                }
            }

            fn listed(directory: &Directory, _: Watch, arrival: &Arrival) {
                directory.routes.listed($kind, arrival.listing);
            }
        }
    };
}

watched_route!(HttpRoute, RouteKind::Http);
watched_route!(GrpcRoute, RouteKind::Grpc);

fn route_applied(
    directory: &Directory,
    kind: RouteKind,
    metadata: &ObjectMeta,
    spec: &Value,
    arrival: &Arrival,
) {
    let (Some(uid), Some(name)) = (metadata.uid.as_deref(), metadata.name.as_deref()) else {
        return;
    };
    let created = metadata.creation_timestamp.as_ref();
    let object = RouteObject {
        kind,
        uid,
        namespace: metadata.namespace.as_deref().unwrap_or_default(),
        name,
        created: created.map_or(0, |time| time.0.as_second()),
        spec,
    };
    for reason in directory.routes.applied(&object, arrival.listing) {
        let namespace = object.namespace;
        tracing::warn!(namespace, name, reason, "a rule names no route");
    }
}
