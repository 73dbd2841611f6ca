//! Reads Markdown: blocks between fences, and code in a line.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A document.
pub(crate) struct Guide {
    /// Below the workspace.
    pub(crate) path: String,
    pub(crate) blocks: Vec<Block>,
    /// Lines from one, and what stands between backticks there.
    pub(crate) inline: Vec<(usize, String)>,
}

/// What is between two fences.
pub(crate) struct Block {
    /// `sh`, `console`, `yaml`, …
    pub(crate) kind: String,
    /// Its first line, from one.
    pub(crate) line: usize,
    pub(crate) lines: Vec<String>,
}

impl Guide {
    /// Every document for users and contributors.
    pub(crate) fn all() -> Vec<Self> {
        let root = root();
        let docs = fs::read_dir(root.join("docs")).unwrap();
        let docs = docs.map(|entry| {
            let name = entry.unwrap().file_name();
            format!("docs/{}", name.to_string_lossy())
        });
        let others = [
            "README.md",
            "CONTRIBUTING.md",
            "SECURITY.md",
            "deploy/README.md",
            "tests/README.md",
        ];
        let mut paths: Vec<_> = docs.chain(others.map(str::to_owned)).collect();
        paths.retain(|path| path.ends_with(".md"));
        paths.sort();
        assert!(paths.len() > 20, "{paths:?}");
        let read = |path: &String| fs::read_to_string(root.join(path)).unwrap();
        paths
            .iter()
            .map(|path| Self::new(path, &read(path)))
            .collect()
    }

    fn new(path: &str, text: &str) -> Self {
        let mut guide = Self {
            path: path.to_owned(),
            blocks: Vec::new(),
            inline: Vec::new(),
        };
        let mut open: Option<Block> = None;
        for (number, line) in text.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            match (fence, open.take()) {
                (Some(kind), None) => {
                    open = Some(Block {
                        kind: kind.trim().to_owned(),
                        line: number + 2,
                        lines: Vec::new(),
                    });
                }
                (Some(_), Some(block)) => guide.blocks.push(block),
                (None, Some(mut block)) => {
                    block.lines.push(line.to_owned());
                    open = Some(block);
                }
                (None, None) => {
                    let code = line.split('`').skip(1).step_by(2);
                    guide
                        .inline
                        .extend(code.map(|code| (number + 1, code.to_owned())));
                }
            }
        }
        assert!(open.is_none(), "{path}: a fence is not closed");
        guide
    }
}

impl Block {
    /// The text.
    pub(crate) fn text(&self) -> String {
        self.lines.join("\n") + "\n"
    }

    /// Lines of a shell that a person types, each with its number: what a prompt stands before, or
    /// all of it. A line that ends in a backslash goes on.
    pub(crate) fn commands(&self) -> Vec<(usize, String)> {
        let mut commands = Vec::new();
        let mut lines = self.lines.iter().zip(self.line..);
        while let Some((line, number)) = lines.next() {
            let typed = match self.kind.as_str() {
                "console" => line.strip_prefix("$ "),
                "sh" => Some(line.as_str()),
                _ => None,
            };
            let Some(typed) = typed else { continue };
            let mut command = typed.to_owned();
            while let Some(part) = command.strip_suffix('\\') {
                let Some((next, _)) = lines.next() else { break };
                command = format!("{part}{next}");
            }
            commands.push((number, command));
        }
        commands
    }
}

#[test]
fn a_document_is_taken_apart() {
    let text = "A `b` c.\n\n```console\n$ one \\\n  two\noutput `x`\n```\n\n`d` and `e`\n";
    let guide = Guide::new("guide", text);
    let inline: Vec<_> = guide
        .inline
        .iter()
        .map(|(n, code)| (*n, code.as_str()))
        .collect();
    assert_eq!(inline, [(1, "b"), (9, "d"), (9, "e")]);
    let [block] = guide.blocks.as_slice() else {
        panic!("one block");
    };
    assert_eq!((block.kind.as_str(), block.line), ("console", 4));
    assert_eq!(block.commands(), [(4, "one   two".to_owned())]);
}
