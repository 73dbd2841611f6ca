//! Whether this process may load and attach the programs: capabilities(7), asked before the
//! kernel says no without saying why.

/// Capabilities by bit number. CAP_SYS_ADMIN stands in for CAP_BPF and CAP_PERFMON.
const NET_ADMIN: (u32, &str) = (12, "CAP_NET_ADMIN");
const SYS_ADMIN: u32 = 21;
const PERFMON: (u32, &str) = (38, "CAP_PERFMON");
const BPF: (u32, &str) = (39, "CAP_BPF");

/// Names of the capabilities that are missing, or `None` when nothing is. Unknown (no /proc)
/// counts as nothing missing: the kernel decides.
pub(super) fn missing() -> Option<String> {
    missing_of(effective(
        &std::fs::read_to_string("/proc/self/status").ok()?,
    )?)
}

fn effective(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn missing_of(effective: u64) -> Option<String> {
    let has = |bit: u32| effective >> bit & 1 == 1;
    let names: Vec<&str> = [BPF, NET_ADMIN, PERFMON]
        .into_iter()
        .filter(|&(bit, _)| !has(bit) && (bit == NET_ADMIN.0 || !has(SYS_ADMIN)))
        .map(|(_, name)| name)
        .collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: &str, expected: Option<&str>) {
        assert_eq!(effective(status).and_then(missing_of).as_deref(), expected);
    }

    #[test]
    fn by_the_effective_set() {
        check("CapPrm:\t0\nCapEff:\t000001ffffffffff\n", None);
        check(
            "CapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\n",
            Some("CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"),
        );
        check("CapEff:\t000000c000001000\n", None);
        check("CapEff:\t0000008000001000\n", Some("CAP_PERFMON"));
        check("CapEff:\t0000000000201000\n", None);
        check("CapEff:\t0000000000200000\n", Some("CAP_NET_ADMIN"));
        check("Name:\tmeshtap\n", None);
    }
}
