//! What runs on the machine: programs with TLS, proxies of a mesh, Multipath TCP; and what the
//! agent itself takes of it.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::row::{Need, Row};
use crate::config::Config;
use crate::plural::counted;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Files with a TLS library that processes use, and why each cannot be read.
    pub(super) libraries: Vec<Library>,
    /// Processes that could not be looked into.
    pub(super) forbidden: u64,
    /// Processes of each proxy: its name, and how many.
    pub(super) proxies: Vec<(String, usize)>,
    pub(super) mptcp: Mptcp,
    /// Whether the address can be listened on.
    pub(super) listen: Option<(SocketAddr, Result<(), String>)>,
    /// Whether agents can meet in the folder.
    pub(super) handover: Option<(PathBuf, Result<(), String>)>,
    /// Files that the agent is to write: their keys, and whether it can.
    pub(super) files: Vec<(&'static str, PathBuf, Result<(), String>)>,
    /// The first process that is seen is meshtap: those of the node, or of other pods, are not.
    pub(super) is_pid_namespace_own: bool,
}

/// A file with a TLS library.
#[derive(Debug)]
pub(super) struct Library {
    pub(super) path: String,
    /// How its functions are found, or why they are not.
    pub(super) located: Result<String, String>,
}

/// Multipath TCP, in this network namespace.
#[derive(Debug, Default)]
pub(super) struct Mptcp {
    /// `net.mptcp.enabled`.
    pub(super) is_enabled: bool,
    /// Connections that are open now (`MPTcpExt` of `/proc/net/netstat`; since Linux 6.9).
    pub(super) open: u64,
    /// Connections that began with it since the boot.
    pub(super) since_boot: u64,
}

/// The rows.
pub(super) fn rows(node: &Node, config: &Config) -> Vec<Row> {
    let mut rows = vec![
        libraries(node, config.capture.tls.is_on()),
        proxies(&node.proxies),
        mptcp(&node.mptcp),
    ];
    rows.push(match &node.listen {
        None => Row::idle("telemetry.listen", "not set: no metrics, no health"),
        Some((address, found)) => taken(
            "telemetry.listen",
            &address.to_string(),
            found,
            "an agent that runs has it already, or it is another's; set another one",
        ),
    });
    rows.push(match &node.handover {
        None => Row::idle("handover.folder", "not set: an update misses requests"),
        Some((folder, found)) => taken(
            "handover.folder",
            &folder.display().to_string(),
            found,
            "give it to the agent's user alone (mode 0700), or set another one",
        ),
    });
    rows.extend(node.files.iter().map(|(key, path, found)| {
        let path = path.display();
        match found {
            Ok(()) => Row::ok(key, path.to_string()),
            // An agent that cannot write what it is to write does not start.
            Err(error) => Row::missing(
                key,
                Need::Capture,
                format!("{path}: {error}"),
                "make its folder, which the agent's user may write (LogsDirectory in a unit, a \
                 volume in a pod)",
            ),
        }
    }));
    rows
}

fn libraries(node: &Node, is_wanted: bool) -> Row {
    let name = "tls programs";
    let mut texts = Vec::new();
    let mut are_read = true;
    for library in &node.libraries {
        let path = &library.path;
        match &library.located {
            Ok(how) => texts.push(format!("{path} (readable: {how})")),
            Err(reason) => {
                are_read = false;
                texts.push(format!("{path} (not readable: {reason})"));
            }
        }
    }
    if node.forbidden > 0 {
        are_read = false;
        texts.push(format!(
            "{} may not be looked into",
            counted(node.forbidden, "process")
        ));
    }
    let text = match texts.is_empty() {
        true if node.is_pid_namespace_own => {
            "only this container's processes are seen: none of them has one".to_owned()
        }
        true => "none runs".to_owned(),
        false => texts.join("; "),
    };
    if is_wanted && node.is_pid_namespace_own {
        return Row::missing(
            name,
            Need::Feature,
            text,
            "hostPID: true in the pod, which the chart sets with capture.tls: programs of others \
             are in /proc only then",
        );
    }
    match (is_wanted, are_read) {
        (false, _) => Row::idle(name, format!("capture.tls is off; {text}")),
        (true, true) => Row::ok(name, text),
        (true, false) => Row::missing(
            name,
            Need::Feature,
            text,
            "docs/tls.md says what can be read; other programs stay unread",
        ),
    }
}

fn proxies(found: &[(String, usize)]) -> Row {
    let name = "mesh proxies";
    if found.is_empty() {
        return Row::idle(name, "no ztunnel and no Envoy runs, or none can be seen");
    }
    let texts: Vec<_> = found
        .iter()
        .map(|(program, count)| format!("{program}: {count}"))
        .collect();
    Row::ok(name, texts.join(", "))
}

fn mptcp(found: &Mptcp) -> Row {
    let name = "multipath tcp";
    match (found.is_enabled, found.open, found.since_boot) {
        (_, open, _) if open > 0 => Row::missing(
            name,
            Need::Feature,
            format!("{} open now", counted(open, "connection")),
            "they are counted and not read; net.mptcp.enabled=0 turns it off for new ones",
        ),
        (false, ..) => Row::ok(name, "off"),
        (true, _, 0) => Row::ok(name, "possible, and not used so far"),
        // A client that tried once says nothing of what runs now.
        (true, _, count) => Row::ok(
            name,
            format!(
                "possible; {} since the boot, none known to be open",
                counted(count, "connection")
            ),
        ),
    }
}

fn taken(name: &str, what: &str, found: &Result<(), String>, remedy: &str) -> Row {
    match found {
        Ok(()) => Row::ok(name, what),
        Err(error) => Row::missing(name, Need::Feature, format!("{what}: {error}"), remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::Presence;
    use super::*;

    const LESS: Presence = Presence::Missing(Need::Feature);

    #[track_caller]
    fn check(row: &Row, presence: Presence, why: &str) {
        assert_eq!(row.presence, presence, "{row:?}");
        assert!(row.why.contains(why), "{row:?}");
    }

    fn node(located: &[Result<&str, &str>], forbidden: u64) -> Node {
        let library = |found: &Result<&str, &str>| Library {
            path: "/usr/lib/libssl.so.3".to_owned(),
            located: found.map(str::to_owned).map_err(str::to_owned),
        };
        Node {
            libraries: located.iter().map(library).collect(),
            forbidden,
            ..Node::default()
        }
    }

    #[test]
    fn tls() {
        let good = [Ok("symbols")];
        let mixed = [Ok("symbols"), Err("stripped")];
        check(&libraries(&node(&[], 0), true), Presence::Ok, "none runs");
        check(
            &libraries(&node(&good, 0), true),
            Presence::Ok,
            "libssl.so.3",
        );
        check(&libraries(&node(&mixed, 0), true), LESS, "stripped");
        check(&libraries(&node(&good, 3), true), LESS, "3 processes");
        check(&libraries(&node(&good, 1), true), LESS, "1 process may");
        let idle = Presence::NotApplicable;
        check(&libraries(&node(&mixed, 3), false), idle, "is off");
        let alone = Node {
            is_pid_namespace_own: true,
            ..node(&[], 0)
        };
        let row = libraries(&alone, true);
        check(&row, LESS, "only this container's");
        assert!(row.remedy.contains("hostPID"), "{row:?}");
        check(&libraries(&alone, false), idle, "only this container's");
    }

    #[test]
    fn multipath() {
        let found = |is_enabled, open, since_boot| {
            mptcp(&Mptcp {
                is_enabled,
                open,
                since_boot,
            })
        };
        check(&found(false, 0, 7), Presence::Ok, "off");
        check(&found(true, 0, 0), Presence::Ok, "not used");
        check(&found(true, 0, 1), Presence::Ok, "1 connection since");
        check(&found(true, 0, 7), Presence::Ok, "7 connections since");
        check(&found(true, 2, 7), LESS, "2 connections open now");
        check(&found(false, 1, 7), LESS, "1 connection open now");
    }

    #[test]
    fn a_file_that_cannot_be_written_stops_the_agent() {
        let with = |found: Result<(), String>| Node {
            files: vec![("access_log.path", "/nodir/x.log".into(), found)],
            ..Node::default()
        };
        let row = |node: &Node| rows(node, &Config::default()).pop().expect("a row");
        let nothing = Presence::Missing(Need::Capture);
        check(&row(&with(Err("ENOENT".to_owned()))), nothing, "ENOENT");
        check(&row(&with(Ok(()))), Presence::Ok, "/nodir/x.log");
    }

    #[test]
    fn what_the_agent_takes() {
        let row = |found| taken("a", "0.0.0.0:9464", &found, "set another one");
        check(&row(Ok(())), Presence::Ok, "9464");
        check(&row(Err("address in use".to_owned())), LESS, "in use");
        check(&proxies(&[]), Presence::NotApplicable, "no ztunnel");
        let found = [("envoy".to_owned(), 2)];
        check(&proxies(&found), Presence::Ok, "envoy: 2");
    }
}
