//! What the Kubernetes API lets this agent do, asked of the API itself (`SelfSubjectAccessReview`,
//! authorization.k8s.io/v1).

use std::io;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::super::config::{KubernetesSection, PeerChoice};
use super::objects::Pod;
use super::{connect, refusal};

/// Longest wait for one response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A right that the agent uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// What it is a right to do.
    pub verb: &'static str,
    /// With which objects.
    pub resource: &'static str,
    /// The group that they are of; empty: the core's.
    pub group: &'static str,
    /// The configuration makes use of it.
    pub is_used: bool,
}

/// What the API says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is not asked.
    Off(String),
    /// It cannot be asked.
    Unreachable(String),
    /// It responds.
    Reached {
        /// Of the API server.
        version: String,
        /// Each right, and whether the agent has it.
        rights: Vec<(Right, Result<bool, String>)>,
    },
}

/// Every right that there is a use for.
fn rights(section: &KubernetesSection) -> Vec<Right> {
    let peers = section.peers == PeerChoice::Cluster;
    let mut resources = vec![
        ("", "pods", true),
        ("", "namespaces", true),
        ("", "services", peers),
    ];
    if section.telemetry {
        resources.push(("telemetry.istio.io", "telemetries", true));
    }
    if section.routes {
        resources.push(("gateway.networking.k8s.io", "httproutes", true));
        resources.push(("gateway.networking.k8s.io", "grpcroutes", true));
    }
    resources
        .into_iter()
        .flat_map(|(group, resource, is_used)| {
            ["list", "watch"].map(|verb| Right {
                verb,
                resource,
                group,
                is_used,
            })
        })
        .collect()
}

/// Asks the API what it lets the agent do. Waits for each response, for a while.
///
/// # Errors
/// When there is no runtime to ask with.
pub fn ask(section: &KubernetesSection) -> io::Result<Access> {
    if let Some(reason) = refusal(section) {
        return Ok(Access::Off(reason));
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(async {
        let client = within(connect(section.kubeconfig.as_deref())).await??;
        let version = within(client.apiserver_version()).await?;
        let version = version.map_err(|error| super::follow::said(&error))?;
        let mut found = Vec::new();
        for right in rights(section) {
            found.push((right, review(&client, right).await));
        }
        Ok((version.git_version, found))
    });
    Ok(match asked {
        Ok((version, rights)) => Access::Reached { version, rights },
        Err(reason) => Access::Unreachable(reason),
    })
}

/// Where a pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodPlace {
    /// Its unique id, which the folder of its cgroup is named after.
    pub uid: String,
    /// Its node, once it has one.
    pub node: Option<String>,
}

/// Where a pod is.
///
/// # Errors
/// When the API is not asked, does not respond, or has no such pod.
pub fn find_pod(
    section: &KubernetesSection,
    namespace: &str,
    name: &str,
) -> Result<PodPlace, String> {
    if let Some(reason) = refusal(section) {
        return Err(reason);
    }
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let client = within(connect(section.kubeconfig.as_deref())).await??;
        let api: Api<Pod> = Api::all(client);
        // The agent's right is to list, not to get.
        let params = ListParams::default().fields(&format!(
            "metadata.namespace={namespace},metadata.name={name}"
        ));
        let pods = within(api.list(&params)).await?;
        let pods = pods.map_err(|error| super::follow::said(&error))?;
        let pod = pods.items.into_iter().next();
        let place = pod.and_then(|pod| {
            Some(PodPlace {
                uid: pod.metadata.uid?,
                node: pod.spec.node_name,
            })
        });
        place.ok_or_else(|| format!("there is no pod {namespace}/{name}"))
    })
}

async fn review(client: &Client, right: Right) -> Result<bool, String> {
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(right.verb.to_owned()),
                resource: Some(right.resource.to_owned()),
                group: (!right.group.is_empty()).then(|| right.group.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let created = within(api.create(&PostParams::default(), &review)).await?;
    match created {
        Ok(reviewed) => Ok(reviewed.status.is_some_and(|status| status.allowed)),
        Err(error) => Err(super::follow::said(&error)),
    }
}

async fn within<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let responded = timeout(TIMEOUT, work).await;
    responded.map_err(|_| format!("no response within {} s", TIMEOUT.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::KubernetesMode;

    #[test]
    fn rights_follow_the_configuration() {
        let used = |peers| {
            let section = KubernetesSection {
                peers,
                ..KubernetesSection::default()
            };
            let rights = rights(&section).into_iter();
            rights.filter(|right| right.is_used).count()
        };
        assert_eq!((used(PeerChoice::Node), used(PeerChoice::Cluster)), (4, 6));
    }

    #[test]
    fn an_api_that_is_not_asked_is_not_unreachable() {
        let section = KubernetesSection {
            mode: KubernetesMode::Off,
            ..KubernetesSection::default()
        };
        let expected = Access::Off("kubernetes.mode is off".to_owned());
        assert_eq!(ask(&section).expect("no runtime is made"), expected);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let section = KubernetesSection {
            mode: KubernetesMode::On,
            kubeconfig: Some("/no/such/kubeconfig".into()),
            ..KubernetesSection::default()
        };
        let found = ask(&section).expect("a runtime");
        let Access::Unreachable(reason) = found else {
            panic!("{found:?}");
        };
        assert!(reason.contains("/no/such/kubeconfig"), "{reason}");
    }
}
