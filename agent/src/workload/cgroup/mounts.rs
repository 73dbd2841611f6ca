//! Which mounts of cgroups could be written through. In a pod they are the node's, and none should
//! be. Pure.

/// The mount points of cgroup hierarchies that are not mounted read-only (proc_pid_mountinfo(5)).
pub(crate) fn writable(mountinfo: &str) -> Vec<&str> {
    mountinfo.lines().filter_map(writable_cgroup).collect()
}

/// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS … - TYPE SOURCE OPTIONS`: the first options are the
/// mount's own.
fn writable_cgroup(line: &str) -> Option<&str> {
    let (mount, file_system) = line.split_once(" - ")?;
    let kind = file_system.split(' ').next()?;
    let mut fields = mount.split(' ').skip(4);
    let (point, options) = (fields.next()?, fields.next()?);
    let is_writable = options.split(',').any(|option| option == "rw");
    (matches!(kind, "cgroup" | "cgroup2") && is_writable).then_some(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mountinfo: &str, expected: &[&str]) {
        assert_eq!(writable(mountinfo), expected);
    }

    #[test]
    fn only_what_is_mounted_read_only_is_safe() {
        check("", &[]);
        // `readOnly` alone on a node with both versions.
        check(
            "31 23 0:28 / /host/sys/fs/cgroup ro,nosuid - tmpfs tmpfs rw,mode=755\n\
             32 31 0:29 / /host/sys/fs/cgroup/freezer rw,nosuid shared:9 - cgroup cgroup rw,freezer\n\
             41 31 0:38 / /host/sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
            &["/host/sys/fs/cgroup/freezer", "/host/sys/fs/cgroup/unified"],
        );
        check(
            "32 31 0:29 / /host/sys/fs/cgroup/freezer ro,nosuid - cgroup cgroup rw,freezer\n\
             41 31 0:38 / /host/sys/fs/cgroup/unified ro - cgroup2 cgroup2 rw\nbroken\n",
            &[],
        );
    }
}
