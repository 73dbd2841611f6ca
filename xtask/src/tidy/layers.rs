//! Who may import whom inside the agent: a module imports modules to its left, so there is no
//! cycle.

use std::collections::BTreeMap;
use std::fmt;

use super::source::Source;

/// The modules of the agent from left to right. The stream of data is `flow` to `export`; the
/// others stand where what they need is to their left.
const ORDER: &[&str] = &[
    "flow",
    "hash",
    "glob",
    "visible",
    "clock",
    "plural",
    "units",
    "files",
    "ledger",
    "handover",
    "capture",
    "transport",
    "http",
    "exchange",
    "session",
    "engine",
    "policy",
    "redact",
    "signal",
    "process",
    "workload",
    "har",
    "export",
    "tap",
    "views",
    "telemetry",
    "config",
    "cli",
    "app",
];

/// Where the modules are.
const AGENT: &str = "agent/src/";

/// An import that the order forbids and that is known.
#[derive(Clone, Copy, Debug)]
pub struct Rising {
    pub from: &'static str,
    pub to: &'static str,
    /// Why it is there still.
    pub reason: &'static str,
}

/// Every import between modules: how often, and where first.
#[derive(Debug, Default)]
pub struct Graph {
    edges: BTreeMap<(usize, usize), Edge>,
    /// Modules without a place in the order, and a file of each.
    unplaced: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Edge {
    count: usize,
    first: String,
}

impl Graph {
    /// Of all files outside tests.
    pub fn of(sources: &[Source]) -> Self {
        let mut graph = Self::default();
        for source in sources.iter().filter(|source| !source.is_tests()) {
            graph.add(source);
        }
        graph
    }

    fn add(&mut self, source: &Source) {
        let Some(module) = module(&source.path) else {
            return;
        };
        let Some(from) = place(module) else {
            self.unplaced.insert(module.to_owned(), source.path.clone());
            return;
        };
        let rust = source.rust.iter();
        for path in rust.flat_map(|rust| &rust.paths) {
            let imported = match path.segments.as_slice() {
                [root, name, ..] if root == "crate" => place(name),
                _ => None,
            };
            if let Some(to) = imported.filter(|to| *to != from) {
                let first = || Edge {
                    count: 0,
                    first: format!("{}:{}", source.path, path.line),
                };
                self.edges.entry((from, to)).or_insert_with(first).count += 1;
            }
        }
    }

    fn rising(&self) -> impl Iterator<Item = (&'static str, &'static str, &Edge)> {
        let rising = self.edges.iter().filter(|((from, to), _)| to > from);
        rising.map(|((from, to), edge)| (name(*from), name(*to), edge))
    }

    /// Modules that reach themselves, each with the way: `a → b → a`.
    fn cycles(&self) -> Vec<String> {
        let mut cycles = Vec::new();
        for (from, to, _) in self.rising() {
            // A cycle needs an import that rises; the shortest way back closes it.
            if let (Some(from), Some(to)) = (place(from), place(to))
                && let Some(way) = self.way(to, from)
            {
                let names: Vec<&str> = std::iter::once(from).chain(way).map(name).collect();
                cycles.push(names.join(" → "));
            }
        }
        cycles
    }

    /// The shortest way along imports.
    fn way(&self, from: usize, to: usize) -> Option<Vec<usize>> {
        let mut ways = vec![vec![from]];
        let mut seen = vec![from];
        while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in ways {
                let last = way.last().copied()?;
                if last == to {
                    return Some(way);
                }
                for (_, next) in self.edges.keys().filter(|(start, _)| *start == last) {
                    if !seen.contains(next) {
                        seen.push(*next);
                        longer.push(way.iter().copied().chain([*next]).collect());
                    }
                }
            }
            ways = longer;
        }
        None
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (from, module) in ORDER.iter().enumerate() {
            let imports: Vec<String> = self
                .edges
                .iter()
                .filter(|((start, _), _)| *start == from)
                .map(|((_, to), edge)| {
                    let rising = if *to > from { "↑" } else { "" };
                    format!("{rising}{} {}", name(*to), edge.count)
                })
                .collect();
            let imported = self.edges.keys().any(|(_, to)| *to == from);
            if imported || !imports.is_empty() {
                writeln!(f, "{module:<12}→ {}", imports.join(", "))?;
            }
        }
        writeln!(f, "rising imports: {}", self.rising().count())?;
        let cycles = self.cycles();
        writeln!(f, "cycles: {}", cycles.len())?;
        cycles.iter().try_for_each(|cycle| writeln!(f, "  {cycle}"))
    }
}

/// Reports rising imports, cycles, modules without a place, and known exceptions that are none any
/// more.
pub fn check(graph: &Graph, known: &[Rising], findings: &mut Vec<String>) {
    for (module, file) in &graph.unplaced {
        findings.push(format!(
            "{file}: `{module}` has no place in the order of the layers (tidy/layers.rs)"
        ));
    }
    for (from, to, edge) in graph.rising() {
        if !known
            .iter()
            .any(|rising| rising.from == from && rising.to == to)
        {
            findings.push(format!(
                "{}: `{from}` imports `{to}`, which stands to its right ({} times)",
                edge.first, edge.count
            ));
        }
    }
    for Rising { from, to, reason } in known {
        if !graph
            .rising()
            .any(|(start, end, _)| start == *from && end == *to)
        {
            findings.push(format!(
                "tidy/exceptions.rs: `{from}` does not import `{to}` any more; take the exception out ({reason})"
            ));
        }
    }
}

/// The module at the top that a file belongs to.
fn module(path: &str) -> Option<&str> {
    let inside = path.strip_prefix(AGENT)?;
    let first = inside.split('/').next()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(module, "lib" | "main")).then_some(module)
}

fn place(module: &str) -> Option<usize> {
    ORDER.iter().position(|name| *name == module)
}

fn name(place: usize) -> &'static str {
    ORDER.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(files: &[(&str, &str)]) -> Graph {
        let source = |(path, text): &(&str, &str)| Source::new(path, (*text).to_owned()).unwrap();
        Graph::of(&files.iter().map(source).collect::<Vec<_>>())
    }

    /// Each of `expected` is a part of one finding, in order.
    #[track_caller]
    fn check_graph(files: &[(&str, &str)], known: &[Rising], expected: &[&str]) {
        let mut findings = Vec::new();
        check(&graph(files), known, &mut findings);
        assert_eq!(findings.len(), expected.len(), "{findings:?}");
        for (finding, part) in findings.iter().zip(expected) {
            assert!(finding.contains(part), "{finding}");
        }
    }

    #[test]
    fn imports_fall() {
        check_graph(
            &[("agent/src/http/h1.rs", "use crate::flow::Nanos;")],
            &[],
            &[],
        );
        check_graph(
            &[("agent/src/flow.rs", "use super::http::Head;")],
            &[],
            &["`flow` imports `http`"],
        );
        check_graph(
            &[(
                "agent/src/http/a.rs",
                "fn a() { crate::engine::b() }\nfn b() { crate::engine::b() }",
            )],
            &[],
            &["http/a.rs:1: `http` imports `engine`, which stands to its right (2 times)"],
        );
        let tested = "#[cfg(test)] mod tests { use crate::engine::A; }";
        check_graph(&[("agent/src/http/a.rs", tested)], &[], &[]);
        check_graph(
            &[("agent/src/http/tests.rs", "use crate::engine::A;")],
            &[],
            &[],
        );
        check_graph(&[("agent/src/main.rs", "use meshtap::app;")], &[], &[]);
        check_graph(&[("xtask/src/http.rs", "use crate::engine::A;")], &[], &[]);
    }

    #[test]
    fn a_new_module_gets_a_place() {
        check_graph(
            &[("agent/src/newcomer/mod.rs", "")],
            &[],
            &["`newcomer` has no place"],
        );
    }

    #[test]
    fn known_exceptions_must_still_be_there() {
        let known = [Rising {
            from: "flow",
            to: "http",
            reason: "tried",
        }];
        check_graph(
            &[("agent/src/flow.rs", "use crate::http::Head;")],
            &known,
            &[],
        );
        check_graph(
            &[("agent/src/flow.rs", "")],
            &known,
            &["take the exception out (tried)"],
        );
    }

    #[test]
    fn the_graph_shows_ways_round() {
        let shown = graph(&[
            ("agent/src/flow.rs", "use crate::http::A;"),
            ("agent/src/http/mod.rs", "use crate::flow::{A, B};"),
        ])
        .to_string();
        let expected = "flow        → ↑http 1\nhttp        → flow 2\nrising imports: 1\ncycles: 1\n  flow → http → flow\n";
        assert_eq!(shown, expected);
    }
}
