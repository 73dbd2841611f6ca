//! What the rules let pass by name, each with its reason. These lists only shrink: an entry that is
//! not needed is a finding.

use super::allowance::Allowance;
use super::layers::Rising;
use super::size::{Known, LongFile, LongFunction};

/// Imports that rise.
pub const RISING: &[Rising] = &[];

/// Files and functions past the bound.
pub const LONG: Known = Known {
    files: FILES,
    functions: FUNCTIONS,
};

const FILES: &[LongFile] = &[];

const FUNCTIONS: &[LongFunction] = &[
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
        at_most: 48,
    },
    Allowance {
        part: "README.md",
        at_most: 47,
    },
    Allowance {
        part: "agent-common/",
        at_most: 25,
    },
    Allowance {
        part: "agent-ebpf/",
        at_most: 29,
    },
    Allowance {
        part: "agent/",
        at_most: 24,
    },
    Allowance {
        part: "agent/src/app/",
        at_most: 42,
    },
    Allowance {
        part: "agent/src/capture/",
        at_most: 131,
    },
    Allowance {
        part: "agent/src/cli/",
        at_most: 10,
    },
    Allowance {
        part: "agent/src/clock/",
        at_most: 5,
    },
    Allowance {
        part: "agent/src/config/",
        at_most: 6,
    },
    Allowance {
        part: "agent/src/engine/",
        at_most: 24,
    },
    Allowance {
        part: "agent/src/exchange/",
        at_most: 5,
    },
    Allowance {
        part: "agent/src/export/",
        at_most: 92,
    },
    Allowance {
        part: "agent/src/files/",
        at_most: 7,
    },
    Allowance {
        part: "agent/src/flow/",
        at_most: 13,
    },
    Allowance {
        part: "agent/src/har/",
        at_most: 7,
    },
    Allowance {
        part: "agent/src/http/",
        at_most: 72,
    },
    Allowance {
        part: "agent/src/ledger/",
        at_most: 3,
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
        at_most: 23,
    },
    Allowance {
        part: "agent/src/redact/",
        at_most: 113,
    },
    Allowance {
        part: "agent/src/session/",
        at_most: 48,
    },
    Allowance {
        part: "agent/src/signal/",
        at_most: 24,
    },
    Allowance {
        part: "agent/src/tap/",
        at_most: 18,
    },
    Allowance {
        part: "agent/src/telemetry/",
        at_most: 26,
    },
    Allowance {
        part: "agent/src/transport/",
        at_most: 27,
    },
    Allowance {
        part: "agent/src/units/",
        at_most: 3,
    },
    Allowance {
        part: "agent/src/workload/",
        at_most: 106,
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
        part: "tests/http2/",
        at_most: 3,
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
        at_most: 24,
    },
    Allowance {
        part: "agent-common/",
        at_most: 5,
    },
    Allowance {
        part: "agent-ebpf/",
        at_most: 17,
    },
    Allowance {
        part: "agent/",
        at_most: 183,
    },
    Allowance {
        part: "agent/src/app/",
        at_most: 219,
    },
    Allowance {
        part: "agent/src/capture/",
        at_most: 115,
    },
    Allowance {
        part: "agent/src/cli/",
        at_most: 5,
    },
    Allowance {
        part: "agent/src/clock/",
        at_most: 1,
    },
    Allowance {
        part: "agent/src/config/",
        at_most: 5,
    },
    Allowance {
        part: "agent/src/engine/",
        at_most: 67,
    },
    Allowance {
        part: "agent/src/exchange/",
        at_most: 1,
    },
    Allowance {
        part: "agent/src/export/",
        at_most: 16,
    },
    Allowance {
        part: "agent/src/har/",
        at_most: 11,
    },
    Allowance {
        part: "agent/src/http/",
        at_most: 39,
    },
    Allowance {
        part: "agent/src/ledger/",
        at_most: 2,
    },
    Allowance {
        part: "agent/src/policy/",
        at_most: 2,
    },
    Allowance {
        part: "agent/src/process/",
        at_most: 95,
    },
    Allowance {
        part: "agent/src/redact/",
        at_most: 78,
    },
    Allowance {
        part: "agent/src/session/",
        at_most: 15,
    },
    Allowance {
        part: "agent/src/signal/",
        at_most: 8,
    },
    Allowance {
        part: "agent/src/tap/",
        at_most: 32,
    },
    Allowance {
        part: "agent/src/telemetry/",
        at_most: 8,
    },
    Allowance {
        part: "agent/src/transport/",
        at_most: 93,
    },
    Allowance {
        part: "agent/src/workload/",
        at_most: 9,
    },
    Allowance {
        part: "tests/cluster/",
        at_most: 87,
    },
    Allowance {
        part: "tests/collector/",
        at_most: 107,
    },
    Allowance {
        part: "tests/export/",
        at_most: 112,
    },
    Allowance {
        part: "tests/kubernetes/",
        at_most: 45,
    },
];
