//! What made a pod: the chain of its owners, as far as the pod itself shows. Pure.
//!
//! A pod names its direct owner alone. The Deployment of a ReplicaSet and the CronJob of a Job are
//! read off names that their controllers make, so neither ReplicaSets nor Jobs are watched: a
//! cluster has ten times as many (old revisions), and the agent would need a right to read them for
//! nothing.
//!
//! * The Deployment controller names a ReplicaSet `DEPLOYMENT-HASH`, and gives its pods the label
//!   `pod-template-hash: HASH`. A ReplicaSet that stands alone has no such label.
//! * The CronJob controller names a Job `CRONJOB-MINUTES`: the scheduled time in minutes since
//!   1970. A Job that a person named with a number is distinguished from it by the pod's age.

/// The label that the Deployment controller gives.
pub(crate) const TEMPLATE_HASH: &str = "pod-template-hash";

/// How long before its pod a Job may have been scheduled, in minutes: a week, for Jobs that waited
/// or try again.
const EARLY: i64 = 7 * 24 * 60;
/// How long after it, for clocks that differ.
const LATE: i64 = 5;

/// Attribute key (without `k8s.`) and name of each owner, nearest first.
pub(crate) type Owners = Vec<(&'static str, Box<str>)>;

/// The owners of a pod whose controller is `name` of `kind`.
pub(crate) fn owners(
    kind: &str,
    name: &str,
    template_hash: Option<&str>,
    created_minutes: Option<i64>,
) -> Owners {
    let mut owners: Owners = Vec::with_capacity(2);
    match kind {
        "ReplicaSet" => {
            owners.push(("replicaset.name", name.into()));
            let deployment = template_hash
                .and_then(|hash| name.strip_suffix(hash))
                .and_then(|name| name.strip_suffix('-'));
            if let Some(deployment) = deployment.filter(|name| !name.is_empty()) {
                owners.push(("deployment.name", deployment.into()));
            }
        }
        "StatefulSet" => owners.push(("statefulset.name", name.into())),
        "DaemonSet" => owners.push(("daemonset.name", name.into())),
        "ReplicationController" => owners.push(("replicationcontroller.name", name.into())),
        "Job" => {
            owners.push(("job.name", name.into()));
            if let Some(cronjob) = cronjob(name, created_minutes) {
                owners.push(("cronjob.name", cronjob.into()));
            }
        }
        // Whatever an operator made, and `Node` for static pods.
        _ => {}
    }
    owners
}

fn cronjob(job: &str, created: Option<i64>) -> Option<&str> {
    let (cronjob, minutes) = job.rsplit_once('-')?;
    let digits = minutes.bytes().all(|byte| byte.is_ascii_digit());
    let age = created? - minutes.parse::<i64>().ok().filter(|_| digits)?;
    (!cronjob.is_empty() && (-LATE..=EARLY).contains(&age)).then_some(cronjob)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21.
    const CREATED: i64 = 29_920_000;

    #[track_caller]
    fn check(kind: &str, name: &str, hash: Option<&str>, expected: &[(&str, &str)]) {
        let found = owners(kind, name, hash, Some(CREATED));
        let found: Vec<_> = found.iter().map(|(key, name)| (*key, &**name)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn deployments() {
        let replicaset = ("replicaset.name", "web-5d4f8c7b9");
        check(
            "ReplicaSet",
            "web-5d4f8c7b9",
            Some("5d4f8c7b9"),
            &[replicaset, ("deployment.name", "web")],
        );
        check(
            "ReplicaSet",
            "my-web-v2-5d4f8c7b9",
            Some("5d4f8c7b9"),
            &[
                ("replicaset.name", "my-web-v2-5d4f8c7b9"),
                ("deployment.name", "my-web-v2"),
            ],
        );
        // A ReplicaSet of its own, or of another controller.
        check("ReplicaSet", "web-5d4f8c7b9", None, &[replicaset]);
        check("ReplicaSet", "web-5d4f8c7b9", Some("other"), &[replicaset]);
        check(
            "ReplicaSet",
            "5d4f8c7b9",
            Some("5d4f8c7b9"),
            &[("replicaset.name", "5d4f8c7b9")],
        );
    }

    #[test]
    fn jobs() {
        let check = |name: &str, cronjob: Option<&str>| {
            let mut expected = vec![("job.name", name)];
            expected.extend(cronjob.map(|name| ("cronjob.name", name)));
            check("Job", name, None, &expected);
        };
        check("report-29920000", Some("report"));
        check("nightly-report-29919000", Some("nightly-report"));
        check("report-29920004", Some("report"));
        check("report-29920010", None);
        check("migrate-20261121", None);
        check("migrate-2", None);
        check("migrate", None);
        check("-29920000", None);
        check("report-+29920000", None);
        assert_eq!(
            owners("Job", "report-29920000", None, None),
            [("job.name", "report-29920000".into())]
        );
    }

    #[test]
    fn others() {
        check("StatefulSet", "db", None, &[("statefulset.name", "db")]);
        check("DaemonSet", "log", None, &[("daemonset.name", "log")]);
        check("Node", "node-1", None, &[]);
        check("Rollout", "web", Some("x"), &[]);
    }
}
