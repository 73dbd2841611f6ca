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
        path: "agent-ebpf/src/tls/call.rs",
        name: "enter",
        reason: "one decision per call, which the verifier reads as one",
    },
    LongFunction {
        path: "agent/benches/pipeline.rs",
        name: "round",
        reason: "one round of a bench, step after step",
    },
    LongFunction {
        path: "agent-ebpf/src/hooks/socket.rs",
        name: "follow",
        reason: "one decision per segment, which the verifier reads as one",
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
        path: "agent/src/app/service.rs",
        name: "run",
        reason: "starts every part, in the one order that is right",
    },
];

/// Folders with lines of prose past the bound.
pub const LONG_PROSE: &[Allowance] = &[];

/// Folders with retired words.
pub const RETIRED_WORDS: &[Allowance] = &[];
