//! Rules of the house that the compiler does not know: layer order, sizes, names, words, prose,
//! references, commits.
//!
//! Rust files are read as tokens ([`rust`]), so a comment or a string is never taken for code, and
//! items under `#[cfg(test)]` are left aside one by one. Everything that a rule lets pass by name
//! is in [`exceptions`].

mod allowance;
mod commits;
mod confined;
mod exceptions;
mod layers;
mod names;
mod prose;
mod references;
mod rust;
mod size;
mod source;
mod words;

use anyhow::{Result, bail};
use clap::Args;

use crate::command;

/// What `cargo xtask tidy` takes.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Options {
    /// Print which module imports which, in the order of the layers
    #[arg(long)]
    graph: bool,
}

/// Checks the repository; prints every finding, then the figures that the rules bound.
///
/// # Errors
/// When something was found.
pub fn run(options: Options) -> Result<()> {
    let root = command::workspace();
    let sources = source::all(&root)?;
    let graph = layers::Graph::of(&sources);
    if options.graph {
        print!("{graph}");
    }
    let mut findings = Vec::new();
    for source in &sources {
        names::check(source, &mut findings);
        size::check(source, exceptions::LONG, &mut findings);
        confined::check(source, &mut findings);
        references::check(source, &root, &mut findings);
    }
    layers::check(&graph, exceptions::RISING, &mut findings);
    size::check_exceptions(&sources, exceptions::LONG, &mut findings);
    let prose = prose::check(&sources, exceptions::LONG_PROSE, &mut findings);
    let words = words::check(&sources, exceptions::RETIRED_WORDS, &mut findings);
    commits::check(&root, &mut findings)?;
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    for line in [size::largest(&sources), prose, words] {
        eprintln!("tidy: {line}");
    }
    if !findings.is_empty() {
        bail!(
            "tidy: {} findings in {} files",
            findings.len(),
            sources.len()
        );
    }
    eprintln!("tidy: {} files, nothing found", sources.len());
    Ok(())
}
