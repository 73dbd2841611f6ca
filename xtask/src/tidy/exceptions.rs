//! What the rules let pass by name, each with its reason. These lists only shrink: an entry that is
//! not needed is a finding.

use super::allowance::Allowance;
use super::layers::Rising;
use super::size::LongFunction;

/// Imports that rise.
pub const RISING: &[Rising] = &[
    Rising {
        from: "ledger",
        to: "exchange",
        reason: "the ledger's reasons name those of an exchange",
    },
    Rising {
        from: "http",
        to: "exchange",
        reason: "anomalies",
    },
    Rising {
        from: "capture",
        to: "connection",
        reason: "the way back of demand",
    },
    Rising {
        from: "capture",
        to: "workload",
        reason: "which cgroups are out of scope",
    },
    Rising {
        from: "export",
        to: "config",
        reason: "the section of the configuration is not beside its component yet",
    },
];

/// Functions past the bound.
pub const FUNCTIONS: &[LongFunction] = &[
    LongFunction {
        path: "agent/benches/pipeline.rs",
        name: "round",
        reason: "one round of a bench, step after step",
    },
    LongFunction {
        path: "agent/fuzz/fuzz_targets/h1.rs",
        name: "read",
        reason: "a model of a whole reader",
    },
    LongFunction {
        path: "agent/fuzz/fuzz_targets/h1.rs",
        name: "run",
        reason: "a model of a whole conversation",
    },
    LongFunction {
        path: "agent/src/app/output.rs",
        name: "exchange",
        reason: "to be cut",
    },
    LongFunction {
        path: "agent/src/app/pipeline.rs",
        name: "run",
        reason: "to be cut",
    },
    LongFunction {
        path: "agent/src/app/run.rs",
        name: "run",
        reason: "to be cut",
    },
];

/// Folders with lines of prose past the bound.
pub const LONG_PROSE: &[Allowance] = &[
    Allowance {
        part: "ARCHITECTURE.md",
        at_most: 42,
    },
    Allowance {
        part: "README.md",
        at_most: 45,
    },
    Allowance {
        part: "agent-common/",
        at_most: 22,
    },
    Allowance {
        part: "agent-ebpf/",
        at_most: 52,
    },
    Allowance {
        part: "agent/",
        at_most: 23,
    },
    Allowance {
        part: "agent/src/app/",
        at_most: 34,
    },
    Allowance {
        part: "agent/src/capture/",
        at_most: 129,
    },
    Allowance {
        part: "agent/src/cli/",
        at_most: 10,
    },
    Allowance {
        part: "agent/src/clock/",
        at_most: 1,
    },
    Allowance {
        part: "agent/src/config/",
        at_most: 15,
    },
    Allowance {
        part: "agent/src/connection/",
        at_most: 57,
    },
    Allowance {
        part: "agent/src/exchange/",
        at_most: 6,
    },
    Allowance {
        part: "agent/src/export/",
        at_most: 49,
    },
    Allowance {
        part: "agent/src/files/",
        at_most: 7,
    },
    Allowance {
        part: "agent/src/flow/",
        at_most: 4,
    },
    Allowance {
        part: "agent/src/har/",
        at_most: 7,
    },
    Allowance {
        part: "agent/src/http/",
        at_most: 50,
    },
    Allowance {
        part: "agent/src/ledger/",
        at_most: 2,
    },
    Allowance {
        part: "agent/src/lib/",
        at_most: 2,
    },
    Allowance {
        part: "agent/src/policy/",
        at_most: 24,
    },
    Allowance {
        part: "agent/src/process/",
        at_most: 20,
    },
    Allowance {
        part: "agent/src/redact/",
        at_most: 80,
    },
    Allowance {
        part: "agent/src/signal/",
        at_most: 20,
    },
    Allowance {
        part: "agent/src/stream/",
        at_most: 10,
    },
    Allowance {
        part: "agent/src/tap/",
        at_most: 14,
    },
    Allowance {
        part: "agent/src/telemetry/",
        at_most: 28,
    },
    Allowance {
        part: "agent/src/units/",
        at_most: 3,
    },
    Allowance {
        part: "agent/src/workload/",
        at_most: 56,
    },
    Allowance {
        part: "deploy/",
        at_most: 14,
    },
    Allowance {
        part: "tests/cluster/",
        at_most: 5,
    },
    Allowance {
        part: "tests/collector/",
        at_most: 16,
    },
    Allowance {
        part: "tests/export/",
        at_most: 9,
    },
    Allowance {
        part: "tests/kubernetes/",
        at_most: 12,
    },
];

/// Folders with retired words.
pub const RETIRED_WORDS: &[Allowance] = &[
    Allowance {
        part: "ARCHITECTURE.md",
        at_most: 27,
    },
    Allowance {
        part: "README.md",
        at_most: 28,
    },
    Allowance {
        part: "agent-common/",
        at_most: 20,
    },
    Allowance {
        part: "agent-ebpf/",
        at_most: 52,
    },
    Allowance {
        part: "agent/",
        at_most: 189,
    },
    Allowance {
        part: "agent/src/app/",
        at_most: 268,
    },
    Allowance {
        part: "agent/src/capture/",
        at_most: 135,
    },
    Allowance {
        part: "agent/src/cli/",
        at_most: 5,
    },
    Allowance {
        part: "agent/src/config/",
        at_most: 11,
    },
    Allowance {
        part: "agent/src/connection/",
        at_most: 726,
    },
    Allowance {
        part: "agent/src/exchange/",
        at_most: 88,
    },
    Allowance {
        part: "agent/src/export/",
        at_most: 181,
    },
    Allowance {
        part: "agent/src/flow/",
        at_most: 4,
    },
    Allowance {
        part: "agent/src/har/",
        at_most: 11,
    },
    Allowance {
        part: "agent/src/http/",
        at_most: 182,
    },
    Allowance {
        part: "agent/src/ledger/",
        at_most: 36,
    },
    Allowance {
        part: "agent/src/policy/",
        at_most: 8,
    },
    Allowance {
        part: "agent/src/process/",
        at_most: 95,
    },
    Allowance {
        part: "agent/src/redact/",
        at_most: 74,
    },
    Allowance {
        part: "agent/src/signal/",
        at_most: 45,
    },
    Allowance {
        part: "agent/src/stream/",
        at_most: 100,
    },
    Allowance {
        part: "agent/src/tap/",
        at_most: 64,
    },
    Allowance {
        part: "agent/src/telemetry/",
        at_most: 41,
    },
    Allowance {
        part: "agent/src/workload/",
        at_most: 262,
    },
    Allowance {
        part: "tests/capture/",
        at_most: 3,
    },
    Allowance {
        part: "tests/cluster/",
        at_most: 87,
    },
    Allowance {
        part: "tests/collector/",
        at_most: 124,
    },
    Allowance {
        part: "tests/export/",
        at_most: 164,
    },
    Allowance {
        part: "tests/harness/",
        at_most: 3,
    },
    Allowance {
        part: "tests/kubernetes/",
        at_most: 69,
    },
    Allowance {
        part: "xtask/",
        at_most: 3,
    },
];
