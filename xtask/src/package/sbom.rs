//! The bill of materials of the program, as CycloneDX 1.5 (<https://cyclonedx.org/docs/1.5/json/>):
//! every crate that is compiled into it, with version, licence and checksum, from what cargo says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{VERSION, licences};
use crate::command;

/// Something inside the program.
#[derive(Clone, Debug, Default)]
pub struct Component {
    pub name: String,
    pub version: String,
    /// An SPDX expression.
    pub licence: String,
    /// Files with its licence.
    pub licences: Vec<PathBuf>,
    /// SHA-256 of the crate.
    pub(super) checksum: Option<String>,
    pub(super) repository: Option<String>,
    /// Names and versions of what it depends on itself.
    pub(super) depends: Vec<(String, String)>,
    /// It is not a crate.
    pub(super) is_system: bool,
}

impl Component {
    /// A package URL (<https://github.com/package-url/purl-spec>).
    fn url(&self) -> String {
        let kind = if self.is_system { "generic" } else { "cargo" };
        format!("pkg:{kind}/{}@{}", self.name, self.version)
    }
}

/// Everything that is inside: crates, Rust's own library, and the C library where it is inside too.
///
/// # Errors
/// When cargo cannot say.
pub fn components(is_static: bool) -> Result<Vec<Component>> {
    let inside = inside()?;
    let metadata =
        command::output(command::cargo().args(["metadata", "--locked", "--format-version", "1"]))?;
    let lock = fs::read_to_string(command::workspace().join("Cargo.lock"))?;
    let mut components = crates(
        &serde_json::from_str(&metadata)?,
        &inside,
        &checksums(&lock),
    )?;
    components.push(library()?);
    if is_static {
        components.push(c_library()?);
    }
    Ok(components)
}

/// Names and versions of the crates whose code is in the program: what builds it is not.
fn inside() -> Result<BTreeSet<(String, String)>> {
    let mut inside = BTreeSet::new();
    for package in ["meshtap", "meshtap-ebpf"] {
        let tree = command::output(command::cargo().args([
            "tree",
            "--locked",
            "--package",
            package,
            "--edges",
            "normal,no-proc-macro",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]))?;
        inside.extend(tree.lines().filter_map(crate_named));
    }
    Ok(inside)
}

/// `name v1.2.3 (path)`, as cargo-tree(1) prints it.
fn crate_named(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    let version = words.next()?.strip_prefix('v')?;
    Some((name.to_owned(), version.to_owned()))
}

/// SHA-256 of each crate of a registry, by name and version, from `Cargo.lock`.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let mut sums = BTreeMap::new();
    for package in lock.split("[[package]]") {
        let field = |name: &str| {
            let start = format!("{name} = \"");
            let lines = package.lines();
            lines
                .filter_map(|line| line.strip_prefix(start.as_str())?.strip_suffix('"'))
                .map(str::to_owned)
                .next()
        };
        if let (Some(name), Some(version), Some(sum)) =
            (field("name"), field("version"), field("checksum"))
        {
            sums.insert((name, version), sum);
        }
    }
    sums
}

/// The crates that are inside, from `cargo metadata`.
fn crates(
    metadata: &Value,
    inside: &BTreeSet<(String, String)>,
    checksums: &BTreeMap<(String, String), String>,
) -> Result<Vec<Component>> {
    let packages = metadata["packages"].as_array().context("no packages")?;
    let nodes = metadata["resolve"]["nodes"]
        .as_array()
        .context("no nodes")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let identity = |package: &Value| (text(&package["name"]), text(&package["version"]));
    let by_id: BTreeMap<_, _> = packages
        .iter()
        .map(|package| (text(&package["id"]), identity(package)))
        .collect();
    let depends: BTreeMap<_, Vec<_>> = nodes
        .iter()
        .map(|node| {
            let ids = node["dependencies"].as_array().into_iter().flatten();
            let found = ids.filter_map(|id| by_id.get(id.as_str()?));
            let found = found.filter(|one| inside.contains(*one)).cloned();
            (text(&node["id"]), found.collect())
        })
        .collect();
    let mut components = Vec::new();
    for package in packages {
        let (name, version) = identity(package);
        let key = (name.clone(), version.clone());
        if !inside.contains(&key) {
            continue;
        }
        let manifest = PathBuf::from(text(&package["manifest_path"]));
        let folder = manifest.parent().unwrap_or(Path::new("/"));
        let is_own = package["source"].is_null();
        components.push(Component {
            licence: expression(&text(&package["license"])),
            licences: match is_own {
                true => vec![command::workspace().join("LICENSE")],
                false => licences::files(folder),
            },
            checksum: checksums.get(&key).cloned(),
            repository: package["repository"].as_str().map(str::to_owned),
            depends: depends
                .get(&text(&package["id"]))
                .cloned()
                .unwrap_or_default(),
            is_system: false,
            name,
            version,
        });
    }
    components.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(components)
}

/// An SPDX expression: older crates write `MIT/Apache-2.0`, some write several spaces.
fn expression(licence: &str) -> String {
    let licence = licence.replace('/', " OR ");
    licence.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Rust's own library.
fn library() -> Result<Component> {
    let version = command::output(
        Command::new("rustc")
            .arg("-vV")
            .current_dir(command::workspace()),
    )?;
    let release = version
        .lines()
        .find_map(|line| line.strip_prefix("release: "));
    Ok(Component {
        name: "rust-std".to_owned(),
        version: release
            .context("rustc does not say its version")?
            .to_owned(),
        licence: "MIT OR Apache-2.0".to_owned(),
        repository: Some("https://github.com/rust-lang/rust".to_owned()),
        is_system: true,
        ..Component::default()
    })
}

/// The C library.
fn c_library() -> Result<Component> {
    let version = command::output(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    let version = version.trim().strip_prefix("glibc ");
    let texts = [
        "/usr/share/doc/libc6/copyright",
        "/usr/share/common-licenses/LGPL-2.1",
    ];
    let texts = texts.iter().map(PathBuf::from);
    Ok(Component {
        name: "glibc".to_owned(),
        version: version.context("the C library is not glibc")?.to_owned(),
        licence: "LGPL-2.1-or-later".to_owned(),
        licences: texts.filter(|path| path.is_file()).collect(),
        repository: Some("https://sourceware.org/git/glibc.git".to_owned()),
        is_system: true,
        ..Component::default()
    })
}

/// The document.
///
/// # Errors
/// When `epoch` is no time.
pub fn document(components: &[Component], epoch: u64) -> Result<String> {
    let time = command::output(Command::new("date").args([
        "--utc",
        &format!("--date=@{epoch}"),
        "+%Y-%m-%dT%H:%M:%SZ",
    ]))?;
    let reference = |name: &str, version: &str| {
        let mut found = components.iter();
        found
            .find(|one| one.name == name && one.version == version)
            .map(Component::url)
    };
    let depends: Vec<_> = components
        .iter()
        .map(|component| {
            let on = component.depends.iter();
            let on: Vec<_> = on
                .filter_map(|(name, version)| reference(name, version))
                .collect();
            json!({ "ref": component.url(), "dependsOn": on })
        })
        .collect();
    let main = "meshtap";
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time.trim(),
            "component": {
                "type": "application",
                "bom-ref": format!("pkg:cargo/{main}@{VERSION}"),
                "name": main,
                "version": VERSION,
                "licenses": [{ "expression": "Apache-2.0" }],
                "purl": format!("pkg:cargo/{main}@{VERSION}"),
            },
        },
        "components": components
            .iter()
            .filter(|component| component.name != main)
            .map(component)
            .collect::<Vec<_>>(),
        "dependencies": depends,
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn component(component: &Component) -> Value {
    let mut entry = json!({
        "type": "library",
        "bom-ref": component.url(),
        "name": component.name,
        "version": component.version,
        "licenses": [{ "expression": component.licence }],
        "purl": component.url(),
    });
    if let Some(sum) = &component.checksum {
        entry["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
    }
    if let Some(url) = &component.repository {
        entry["externalReferences"] = json!([{ "type": "vcs", "url": url }]);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> (String, String) {
        (name.to_owned(), "1.0.0".to_owned())
    }

    fn metadata() -> Value {
        let package = |name: &str, source: Value| {
            json!({
                "id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0",
                "manifest_path": format!("/nowhere/{name}/Cargo.toml"), "source": source,
                "repository": "https://example.org/a",
            })
        };
        json!({
            "packages": [
                package("meshtap", Value::Null),
                package("bytes", json!("registry")),
                package("syn", json!("registry")),
            ],
            "resolve": { "nodes": [
                { "id": "meshtap", "dependencies": ["bytes", "syn"] },
                { "id": "bytes", "dependencies": [] },
                { "id": "syn", "dependencies": [] },
            ] },
        })
    }

    #[test]
    fn what_only_builds_is_not_inside() {
        let inside = BTreeSet::from([key("meshtap"), key("bytes")]);
        let lock = "[[package]]\nname = \"bytes\"\nversion = \"1.0.0\"\nchecksum = \"ab\"\n";
        let found = crates(&metadata(), &inside, &checksums(lock)).unwrap();
        let names: Vec<_> = found.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["bytes", "meshtap"]);
        assert_eq!(found[0].licence, "MIT OR Apache-2.0");
        assert_eq!(found[1].depends, [key("bytes")]);

        let document: Value = serde_json::from_str(&document(&found, 0).unwrap()).unwrap();
        assert_eq!(document["metadata"]["timestamp"], "1970-01-01T00:00:00Z");
        assert_eq!(document["components"].as_array().unwrap().len(), 1);
        let bytes = &document["components"][0];
        assert_eq!(bytes["purl"], "pkg:cargo/bytes@1.0.0");
        assert_eq!(bytes["hashes"][0]["content"], "ab");
        assert_eq!(
            document["dependencies"][1]["dependsOn"][0],
            "pkg:cargo/bytes@1.0.0"
        );
    }

    #[test]
    fn lines_of_a_tree() {
        assert_eq!(crate_named("bytes v1.0.0"), Some(key("bytes")));
        assert_eq!(crate_named("meshtap v1.0.0 (/a/b)"), Some(key("meshtap")));
        assert_eq!(crate_named("bytes v1.0.0 (*)"), Some(key("bytes")));
        assert_eq!(crate_named(""), None);
    }
}
