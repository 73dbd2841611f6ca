//! What the path of a cgroup says: which container it is, and of which pod. Pure.
//!
//! A kubelet names the folder of a pod, a container runtime that of a container:
//!
//! | driver | pod | container |
//! |---|---|---|
//! | cgroupfs | `kubepods/burstable/pod1f2e…` (no class: guaranteed) | `0123…` (containerd, Docker), `crio-0123…` |
//! | systemd | `kubepods-burstable-pod1f2e_….slice` | `cri-containerd-0123….scope`, `crio-….scope`, `docker-….scope` |
//!
//! With another folder before all of it (`cgroup-root`, a node that is a container itself: kind,
//! k3s in Docker) or below it (what runs inside the container: systemd, crun's `container`, Docker
//! in Docker).
//!
//! **Whoever runs in a container may make folders of any name below its own.** So the first folder
//! that names a pod counts, and the first one below it that names a container; what is nested
//! belongs to them. Where no pod is named, the first one that names a container counts. A user of
//! the host may have a part of the tree delegated (systemd's `user@.service`): folders that are not
//! the kubelet's, by their owner, name no pod either ([`Place::of`]).

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The pod's id, as the kubelet knows it: that of its object in the API, or for a static pod
    /// the hash of its file.
    pub pod: Option<Box<str>>,
    /// The container's id.
    pub container: Option<Box<str>>,
}

/// Hexadecimal digits of a container's id.
const CONTAINER_ID: usize = 64;
/// Hexadecimal digits of a static pod's id (a hash), which has no hyphens.
const HASH: usize = 32;
/// Lengths of a UUID's groups of digits.
const UUID: [usize; 5] = [8, 4, 4, 4, 12];

impl Place {
    /// What `path` names, if it names a pod or a container. Only folders within its first `trusted`
    /// bytes name a pod.
    #[must_use]
    pub fn of(path: &str, trusted: usize) -> Option<Self> {
        let mut place = Self {
            pod: None,
            container: None,
        };
        let mut end = 0;
        for folder in path.split('/') {
            end += folder.len();
            if place.pod.is_none()
                && end <= trusted
                && let Some(pod) = pod(folder)
            {
                // Containers before it are the node.
                place = Self {
                    pod: Some(pod),
                    container: None,
                };
            }
            if place.container.is_none()
                && let Some(id) = container(folder)
            {
                place.container = Some(id.into());
            }
            // The slash.
            end += 1;
        }
        (place.pod.is_some() || place.container.is_some()).then_some(place)
    }
}

/// The id of the pod that a folder stands for.
fn pod(folder: &str) -> Option<Box<str>> {
    // containerd makes one folder of a systemd path when its driver is not the kubelet's:
    // `SLICE:cri-containerd:ID`.
    let folder = folder.split_once(':').map_or(folder, |(slice, _)| slice);
    if let Some(slice) = folder.strip_suffix(".slice") {
        // systemd takes a hyphen for a parent, so the kubelet writes underscores.
        let (_, id) = slice.rsplit_once("-pod")?;
        let id = id.replace('_', "-");
        return is_pod_id(&id).then(|| id.into());
    }
    let id = folder.strip_prefix("pod")?;
    is_pod_id(id).then(|| id.into())
}

fn is_pod_id(id: &str) -> bool {
    if id.len() == HASH {
        return is_hex(id);
    }
    let mut groups = id.split('-');
    UUID.iter().all(|&length| {
        groups
            .next()
            .is_some_and(|group| group.len() == length && is_hex(group))
    }) && groups.next().is_none()
}

/// The id of the container that a folder stands for.
fn container(folder: &str) -> Option<&str> {
    let name = folder.strip_suffix(".scope").unwrap_or(folder);
    let (runtime, id) = name.rsplit_once(['-', ':']).unwrap_or(("", name));
    // `crio-conmon-ID` holds the program that watches the container.
    let is_container = id.len() == CONTAINER_ID && is_hex(id) && !runtime.ends_with("conmon");
    is_container.then_some(id)
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "4d1c0bf4b1a0c4b2a7e62d9c3f2f0a5e6b7c8d9e0f1a2b3c4d5e6f708192a3b4";
    const OTHER: &str = "00000000000000000000000000000000000000000000000000000000000000aa";
    const UID: &str = "1f2e3d4c-5b6a-4798-8899-aabbccddeeff";
    const SLICE: &str = "1f2e3d4c_5b6a_4798_8899_aabbccddeeff";
    const STATIC: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

    /// `ID`, `OTHER`, `UID`, `SLICE` and `STATIC` in a path stand for the values above.
    #[track_caller]
    fn check(path: &str, pod: Option<&str>, container: Option<&str>) {
        let path = path
            .replace("STATIC", STATIC)
            .replace("SLICE", SLICE)
            .replace("UID", UID)
            .replace("OTHER", OTHER)
            .replace("ID", ID);
        let found = Place::of(&path, path.len());
        let found = found.map_or((None, None), |place| (place.pod, place.container));
        assert_eq!((found.0.as_deref(), found.1.as_deref()), (pod, container));
    }

    #[test]
    fn cgroupfs_driver() {
        let (pod, id) = (Some(UID), Some(ID));
        for class in ["", "burstable/", "besteffort/"] {
            check(&format!("/kubepods/{class}podUID/ID"), pod, id);
            check(&format!("/kubepods/{class}podUID/crio-ID"), pod, id);
            check(&format!("/kubepods/{class}podUID"), pod, None);
        }
        check("/kubepods/podSTATIC/ID", Some(STATIC), id);
        check("/kubepods/podUID/crio-conmon-ID", pod, None);
    }

    #[test]
    fn systemd_driver() {
        let (pod, id) = (Some(UID), Some(ID));
        for class in ["", "-burstable", "-besteffort"] {
            for runtime in ["cri-containerd", "crio", "docker", "cri-dockerd", "libpod"] {
                check(
                    &format!(
                        "/kubepods.slice/kubepods{class}.slice/kubepods{class}-podSLICE.slice/{runtime}-ID.scope"
                    ),
                    pod,
                    id,
                );
            }
        }
        check(
            "/kubepods.slice/kubepods-podSTATIC.slice/crio-ID.scope",
            Some(STATIC),
            id,
        );
        check(
            "/kubepods.slice/kubepods-podSLICE.slice/crio-conmon-ID.scope",
            pod,
            None,
        );
        check(
            "/kubepods.slice/kubepods-podSLICE.slice/crio-ID.scope/container",
            pod,
            id,
        );
        // The runtime does not use the kubelet's driver.
        check(
            "/system.slice/kubepods-burstable-podSLICE.slice:cri-containerd:ID",
            pod,
            id,
        );
        check(
            "/system.slice/containerd.service/kubepods-podSLICE.slice:cri-containerd:ID",
            pod,
            id,
        );
    }

    #[test]
    fn nested() {
        let (pod, id) = (Some(UID), Some(ID));
        // A node that is a container: kind, k3d.
        check(
            "/system.slice/docker-OTHER.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/\
             kubelet-kubepods-besteffort-podSLICE.slice/cri-containerd-ID.scope",
            pod,
            id,
        );
        check(
            "/docker/OTHER/kubelet/kubepods/burstable/podUID/ID",
            pod,
            id,
        );
        check("/docker/OTHER/kubepods/besteffort/podUID/ID", pod, id);
        // What a container makes below its own folder is its own, whatever the name.
        let nested = "00000000-0000-4000-8000-000000000000";
        for other in [
            format!("/kubepods/pod{nested}/OTHER"),
            format!(
                "/kubepods.slice/kubepods-pod{}.slice/cri-containerd-OTHER.scope",
                nested.replace('-', "_")
            ),
            format!(
                "/kubelet/kubepods-pod{}.slice:cri-containerd:OTHER",
                nested.replace('-', "_")
            ),
            "/podSTATIC/OTHER".to_owned(),
            "/OTHER".to_owned(),
        ] {
            check(&format!("/kubepods/podUID/ID{other}"), pod, id);
            let below = format!("/kubepods.slice/kubepods-podSLICE.slice/crio-ID.scope{other}");
            check(&below, pod, id);
        }
        // What the node runs beside pods.
        check(
            "/docker/OTHER/system.slice/kubelet.service",
            None,
            Some(OTHER),
        );
        // Inside a container: systemd, Docker.
        check("/kubepods/podUID/ID/system.slice/nginx.service", pod, id);
        check("/kubepods/podUID/ID/docker/OTHER", pod, id);
        check("/kubepods/podUID/ID/init.scope", pod, id);
        // As a cgroup namespace shows it: relative to a cgroup that is not the root.
        check("/../podUID/ID", pod, id);
    }

    #[test]
    fn containers_without_pods() {
        check("/docker/ID", None, Some(ID));
        check("/system.slice/docker-ID.scope", None, Some(ID));
        check("/machine.slice/libpod-ID.scope", None, Some(ID));
        check("/docker/ID/docker/OTHER", None, Some(ID));
    }

    #[test]
    fn folders_of_others_name_no_pod() {
        let path = format!("/user.slice/user@1000.service/pod{UID}/{ID}");
        let trusted = |bytes: usize| Place::of(&path, bytes).and_then(|place| place.pod);
        assert_eq!(trusted("/user.slice".len()), None);
        assert_eq!(trusted(path.len() - ID.len() - 2), None);
        // The container's own folder may be delegated to whoever runs in it.
        assert_eq!(trusted(path.len() - ID.len() - 1).as_deref(), Some(UID));
        let place = Place::of(&path, "/user.slice".len());
        assert_eq!(place.and_then(|place| place.container).as_deref(), Some(ID));
    }

    #[test]
    fn neither() {
        for path in [
            "",
            "/",
            "/init.scope",
            "/system.slice/sshd.service",
            "/user.slice/user-1000.slice/session-3.scope",
            "/kubepods.slice/kubepods-burstable.slice",
            "/kubepods/burstable",
            "/podman",
            "/pod",
            "/kubepods/podNOT-A-UUID",
            "/kubepods/pod1f2e3d4c-5b6a-4798-8899-aabbccddeef",
            "/kubepods/pod1f2e3d4c5-b6a-4798-8899-aabbccddeeff",
            "/kubepods.slice/kubepods-pod.slice",
            "/system.slice/cri-containerd-4d1c0bf4.scope",
        ] {
            check(path, None, None);
        }
    }

    proptest! {
        /// Whatever stands before the pod or below the container changes nothing.
        #[test]
        fn environment_do_not_matter(
            before in proptest::collection::vec("[a-z.-]{1,12}", 0..4),
            after in proptest::collection::vec("[a-z.-]{1,12}|[0-9a-f]{64}|pod[0-9a-f]{32}", 0..4),
        ) {
            let path = format!("/{}/kubepods/pod{UID}/{ID}/{}", before.join("/"), after.join("/"));
            let place = Place::of(&path, path.len());
            prop_assert_eq!(
                place,
                Some(Place { pod: Some(UID.into()), container: Some(ID.into()) })
            );
        }

        #[test]
        fn any_text(path in ".{0,200}") {
            if let Some(place) = Place::of(&path, path.len()) {
                prop_assert!(place.pod.is_none_or(|pod| is_pod_id(&pod)));
                prop_assert!(place.container.is_none_or(|id| id.len() == CONTAINER_ID));
            }
        }
    }
}
