//! The three capabilities are enough, and each of them is needed: without it one sentence names it.

use meshtap_tests::{HTTP_PORT, Pair, Tap, live};

use crate::check::{Under, check};

/// Those of deploy/README.md.
const NEEDED: [&str; 3] = ["bpf", "net_admin", "perfmon"];

#[test]
fn three_capabilities_capture() {
    live(|bench| {
        let tap = Tap::new(bench).server_side().with_only(&NEEDED).start();
        let mut pair = Pair::new(HTTP_PORT);
        pair.request("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        pair.respond("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.only().status(), Some(200));
        // What is optional is absent, and nothing fails for it.
        let found = check(bench, &Under::only(&NEEDED), &[]);
        assert_eq!(found.exit, 0, "{found:#?}");
        found.has("capabilities", "ok", "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON");
        found.has("process names", "not_applicable", "CAP_SYS_PTRACE");
    });
}

#[test]
fn each_capability_is_needed_and_named() {
    live(|bench| {
        for removed in NEEDED {
            let left: Vec<_> = NEEDED.into_iter().filter(|one| *one != removed).collect();
            let name = format!("CAP_{}", removed.to_uppercase());
            let found = check(bench, &Under::only(&left), &[]);
            assert_eq!(found.exit, 2, "{removed}: {found:#?}");
            found.has("capabilities", "missing", &name);
            let row = found.row("capabilities");
            let others = NEEDED.iter().filter(|one| **one != removed);
            for other in others {
                let other = format!("CAP_{}", other.to_uppercase());
                assert!(!row["why"].to_string().contains(&other), "{removed}: {row}");
            }

            let output = Under::only(&left)
                .command()
                .args(["tap", "--count", "1", "--cgroup"])
                .arg(bench.cgroup.path())
                .output()
                .expect("meshtap starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{removed}: {said}");
            assert!(said.contains(&name), "{removed}: {said}");
        }
    });
}
