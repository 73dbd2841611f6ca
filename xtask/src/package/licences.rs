//! The texts of the licences of everything inside the program, each text once with the names of
//! those that it is for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::sbom::Component;

/// How files with a licence begin, in capitals.
const NAMES: [&str; 6] = [
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];

/// Sources in C have theirs some folders down.
const DEPTH: usize = 4;

/// The texts.
///
/// # Errors
/// When a source cannot be read.
pub fn text(components: &[Component]) -> Result<String> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut page = String::from(
        "What meshtap holds of others: name, version, licence. Below are the texts of the licences\n\
         as the sources have them.\n\n",
    );
    for component in components {
        // Writing to a `String` does not fail.
        let name = format!("{} {}", component.name, component.version);
        let note = match component.licences.is_empty() {
            true => " (its source has no text of it)",
            false => "",
        };
        let _ = writeln!(page, "{name}: {}{note}", component.licence);
        for file in &component.licences {
            let text = fs::read(file).with_context(|| file.display().to_string())?;
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            let names = texts.entry(text).or_default();
            if !names.contains(&name) {
                names.push(name.clone());
            }
        }
    }
    for (text, names) in &texts {
        let line = "=".repeat(80);
        let _ = write!(page, "\n{line}\n{}\n{line}\n\n{text}\n", names.join(", "));
    }
    Ok(page)
}

/// Files with a licence in the folder of a source, in order.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    search(folder, DEPTH, &mut found);
    found.sort();
    found
}

fn search(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().to_uppercase();
        let is_source = [".RS", ".C", ".H", ".PY"]
            .iter()
            .any(|end| name.ends_with(end));
        let is_licence = NAMES.iter().any(|start| name.starts_with(start));
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 && name != "TARGET" => {
                search(&path, depth - 1, found);
            }
            Ok(kind) if kind.is_file() && !is_source && is_licence => found.push(path),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(name: &str, licences: Vec<PathBuf>) -> Component {
        Component {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: "MIT".to_owned(),
            licences,
            ..Component::default()
        }
    }

    #[test]
    fn a_text_is_there_once() {
        let folder = std::env::temp_dir().join(format!("meshtap-licences-{}", std::process::id()));
        fs::create_dir_all(folder.join("c/deep")).unwrap();
        fs::create_dir_all(folder.join("src")).unwrap();
        fs::write(folder.join("LICENSE-MIT"), "Permission is granted.\n").unwrap();
        fs::write(folder.join("c/deep/COPYING"), "Permission is granted.").unwrap();
        fs::write(folder.join("src/license.rs"), "fn licence() {}").unwrap();
        let found = files(&folder);
        assert_eq!(found.len(), 2, "{found:?}");
        let page = text(&[component("a", found.clone()), component("b", found)]).unwrap();
        assert_eq!(page.matches("Permission is granted.").count(), 1, "{page}");
        assert!(page.contains("a 1.0.0: MIT\nb 1.0.0: MIT\n"), "{page}");
        assert!(page.contains("a 1.0.0, b 1.0.0\n"), "{page}");
        let page = text(&[component("c", Vec::new())]).unwrap();
        assert!(page.ends_with("c 1.0.0: MIT (its source has no text of it)\n"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
