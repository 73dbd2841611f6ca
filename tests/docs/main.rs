//! What the guides say holds: their commands parse, their configurations can be used, and every key
//! that they name is one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod guide;
mod places;

use std::fs;
use std::path::Path;

use clap::Parser as _;
use meshtap::cli::Cli;
use meshtap::config::{self, Config, Overrides};
use serde_json::Value;

use guide::{Block, Guide, root};

/// Words of a line of a shell, with quotes taken off.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for char in line.chars() {
        match (char, quote) {
            (char, Some(open)) if char == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (char, None) if char.is_whitespace() => words.extend(word.take()),
            (char, _) => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    words
}

/// The commands of a line: pipes, `&&` and comments part them.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    // A separator stands alone: none is within a quoted word there.
    for word in words(line) {
        match word.as_str() {
            "#" => break,
            "|" | "&&" => found.push(Vec::new()),
            _ => found.last_mut().unwrap().push(word),
        }
    }
    found
}

/// The arguments of a command that starts meshtap, with its name; whatever runs it is not looked
/// at.
fn arguments(command: &[String]) -> Option<Vec<String>> {
    let is_program = |word: &String| word.rsplit('/').next() == Some("meshtap");
    let runs = ["sudo", "kubectl"].contains(&command.first()?.as_str());
    let at = match command.iter().position(is_program)? {
        0 => 0,
        // `kubectl … -- /meshtap tap`, and not `kubectl … daemonset/meshtap`.
        at if runs && (at == 1 || command[at - 1] == "--") => at,
        _ => return None,
    };
    let mut arguments = command[at..].to_vec();
    arguments[0] = "meshtap".to_owned();
    Some(arguments)
}

#[track_caller]
fn check_command(line: &str, expected: Option<&[&str]>) {
    let found = commands(line).iter().find_map(|command| arguments(command));
    assert_eq!(
        found.as_deref(),
        expected
            .map(|e| e.to_vec())
            .as_deref()
            .map(|e| { e.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>() })
            .as_deref(),
        "{line}"
    );
}

#[test]
fn commands_are_found() {
    check_command("meshtap tap", Some(&["meshtap", "tap"]));
    check_command(
        "sudo target/release/meshtap run --otlp 'a b'   # or",
        Some(&["meshtap", "run", "--otlp", "a b"]),
    );
    check_command(
        "sudo meshtap tap --json | jq -c 'a | b'",
        Some(&["meshtap", "tap", "--json"]),
    );
    check_command("kubectl debug -- /meshtap tap", Some(&["meshtap", "tap"]));
    check_command("kubectl rollout status daemonset/meshtap", None);
    check_command(
        "install -m 0755 target/release/meshtap /usr/bin/meshtap",
        None,
    );
    check_command("systemctl restart meshtap # a", None);
}

#[test]
fn every_command_parses() {
    let mut count = 0;
    for guide in Guide::all() {
        let lines = guide.blocks.iter().flat_map(Block::commands);
        for (number, line) in lines {
            for command in commands(&line).iter().filter_map(|one| arguments(one)) {
                let parsed = Cli::try_parse_from(&command);
                assert!(
                    parsed.is_ok(),
                    "{}:{number}: {line}: {parsed:?}",
                    guide.path
                );
                count += 1;
            }
        }
        for (number, code) in &guide.inline {
            let placed = code
                .replace("PORT", "8080")
                .replace("NAMESPACE/NAME", "shop/cart");
            let Some(command) = arguments(&words(&placed)).filter(|words| words.len() > 1) else {
                continue;
            };
            // A command by its name alone, or an option without the value that the text speaks of.
            let parsed = Cli::try_parse_from(&command).map_err(|error| error.kind());
            let is_partial = matches!(
                parsed,
                Err(clap::error::ErrorKind::MissingRequiredArgument
                    | clap::error::ErrorKind::InvalidValue
                    | clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand)
            );
            assert!(
                parsed.is_ok() || is_partial,
                "{}:{number}: {code}: {parsed:?}",
                guide.path
            );
            count += 1;
        }
    }
    assert!(count > 30, "only {count} commands in the guides");
}

/// Each has a row that says where it is run, and each row has a command.
#[test]
fn every_command_has_its_place() {
    let places = places::all();
    let mut used = vec![0; places.len()];
    for guide in Guide::all() {
        for (number, line) in guide.blocks.iter().flat_map(Block::commands) {
            let line = line.split(" #").next().unwrap_or_default().trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let found = places::find(&places, line);
            let place = found.unwrap_or_else(|| panic!("{}:{number}: {line}", guide.path));
            used[place] += 1;
        }
    }
    let kinds = [
        "host", "cluster", "package", "CI", "rendered", "parsed", "by hand",
    ];
    for (place, count) in places.iter().zip(used) {
        assert!(count > 0, "no document has `{}`", place.begins);
        assert!(kinds.contains(&place.place.as_str()), "{}", place.place);
        let is_run = place.place != "by hand";
        assert_eq!(is_run, !place.by.is_empty(), "{}", place.begins);
        let is_there = !is_run || root().join(&place.by).is_file();
        assert!(is_there, "{}: {}", place.begins, place.by);
    }
}

/// No cluster has the image: who installs by a guide is to know where it comes from.
#[test]
fn every_installation_has_its_image() {
    let mut count = 0;
    for guide in Guide::all() {
        let lines = guide.blocks.iter().flat_map(Block::commands);
        let lines: Vec<_> = lines.collect();
        let pushes = lines.iter().any(|(_, line)| line.contains("podman push"));
        for (number, line) in &lines {
            if line.starts_with("helm install") {
                let place = format!("{}:{number}", guide.path);
                assert!(line.contains("image.repository="), "{place}: {line}");
                assert!(pushes, "{place}: no step makes the image");
                count += 1;
            }
        }
    }
    assert!(count > 4, "only {count} installations in the guides");
}

/// Everything is read-only to the unit but its own folders.
#[test]
fn the_unit_may_write_where_the_guides_say() {
    let unit = fs::read_to_string(root().join("deploy/meshtap.service")).unwrap();
    assert!(unit.contains("\nProtectSystem=strict\n"));
    let folder = |key: &str, above: &str| {
        let value = unit.lines().find_map(|line| line.strip_prefix(key));
        value.map(|name| format!("{above}/{name}/"))
    };
    let folders = [
        folder("LogsDirectory=", "/var/log").unwrap(),
        folder("RuntimeDirectory=", "/run").unwrap(),
    ];
    let mut count = 0;
    for guide in Guide::all() {
        let lines = guide.blocks.iter().filter(|block| block.kind == "yaml");
        for line in lines.flat_map(|block| &block.lines) {
            let Some(path) = line.trim().strip_prefix("path: /") else {
                continue;
            };
            let path = format!("/{}", path.split(' ').next().unwrap());
            let is_writable = folders.iter().any(|folder| path.starts_with(folder));
            assert!(is_writable, "{}: {path}", guide.path);
            count += 1;
        }
    }
    assert!(count > 0);
}

/// Whether a configuration can be used, as `meshtap config check` says it.
fn usable(text: &str, name: &str) -> Result<Config, String> {
    let parsed = config::parse(text, name, &Overrides::default());
    let config = parsed.map_err(|error| error.to_string())?;
    config.check().map(|()| config)
}

#[test]
fn every_configuration_can_be_used() {
    let schema = config::schema();
    let mut count = 0;
    for guide in Guide::all() {
        for block in guide.blocks.iter().filter(|block| block.kind == "yaml") {
            let value: Value = serde_saphyr::from_str(&block.text()).unwrap();
            let members = value.as_object().unwrap();
            // Values of the chart and annotations of a pod are of another kind.
            if !members
                .keys()
                .all(|key| schema["properties"][key].is_object())
            {
                continue;
            }
            let used = usable(&block.text(), &guide.path);
            assert!(used.is_ok(), "{}:{}: {used:?}", guide.path, block.line);
            count += 1;
        }
    }
    assert!(count > 2, "only {count} configurations in the guides");
}

#[test]
fn every_configuration_that_is_installed_can_be_used() {
    let deploy = root().join("deploy");
    let package = fs::read_to_string(deploy.join("package/config.yaml")).unwrap();
    usable(&package, "package/config.yaml").unwrap();
    let manifests = fs::read_dir(deploy.join("manifests")).unwrap();
    let manifests = manifests.map(|entry| entry.unwrap().path().join("meshtap.yaml"));
    let mut count = 0;
    for path in manifests.chain([deploy.join("meshtap.yaml")]) {
        let text = config_map(&fs::read_to_string(&path).unwrap());
        let used = usable(&text, "config.yaml").map(drop);
        assert_eq!(used, Ok(()), "{}", path.display());
        count += 1;
    }
    for path in files(&deploy.join("helm/meshtap/variants")) {
        let values: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        // JSON is YAML.
        let used = usable(&values["config"].to_string(), "config").map(drop);
        assert_eq!(used, Ok(()), "{}", path.display());
        count += 1;
    }
    assert!(count > 8, "{count}");
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The text of a manifest below `config.yaml: |`.
fn config_map(manifest: &str) -> String {
    let (_, rest) = manifest.split_once("config.yaml: |\n").unwrap();
    let block = rest
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("    "));
    block
        .map(|line| format!("{}\n", line.get(4..).unwrap_or("")))
        .collect()
}

/// Each picture is shown by a document, and each that is shown is there.
#[test]
fn every_picture_is_shown() {
    let folder = root().join("docs/pictures");
    let names: Vec<_> = (fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let guides = Guide::all();
    let texts: Vec<_> = (guides.iter())
        .map(|guide| fs::read_to_string(root().join(&guide.path)).unwrap())
        .collect();
    for name in &names {
        let place = format!("pictures/{name}");
        assert!(texts.iter().any(|text| text.contains(&place)), "{name}");
    }
    let shown = texts
        .iter()
        .flat_map(|text| text.split("pictures/").skip(1));
    for name in shown.filter_map(|rest| rest.split(')').next()) {
        let is_picture = name.ends_with(".png");
        assert!(
            !is_picture || names.iter().any(|other| other == name),
            "{name}"
        );
    }
}

#[test]
fn every_key_exists() {
    let schema = config::schema();
    let values = fs::read_to_string(root().join("deploy/helm/meshtap/values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&values).unwrap();
    let (mut count, mut missing) = (0, Vec::new());
    for guide in Guide::all() {
        for (number, code) in &guide.inline {
            let key = code.split(['=', ':', ' ']).next().unwrap_or_default();
            let key = key.strip_prefix("config.").unwrap_or(key);
            let Some((section, _)) = key.split_once('.') else {
                continue;
            };
            let is_section = schema["properties"][section].is_object();
            // Groups of Kubernetes' API have such names, too.
            let is_key = is_section && !key.ends_with(".rs") && !key.contains(".io");
            if !is_key {
                continue;
            }
            if !in_schema(&schema, key) && !in_values(&values, key) {
                missing.push(format!("{}:{number}: {key}", guide.path));
            }
            count += 1;
        }
    }
    assert!(missing.is_empty(), "keys that there are not: {missing:#?}");
    assert!(count > 100, "only {count} keys in the guides");
}

#[test]
fn keys_are_looked_up() {
    let schema = config::schema();
    for (key, expected) in [
        ("capture.side", true),
        ("capture.sides", false),
        ("capture.side.left", false),
        ("export.otlp[].headers", true),
        ("export.otlp[0].endpoint", true),
        ("export.otlp[].headers.authorization", true),
        ("export.otlp[].retry.give_up", true),
        ("export.otlp[].retry.never", false),
    ] {
        assert_eq!(in_schema(&schema, key), expected, "{key}");
    }
}

/// The key is one of the configuration's.
fn in_schema(schema: &Value, key: &str) -> bool {
    let mut at = schema;
    for part in key.split('.') {
        let name = part.split('[').next().unwrap_or_default();
        at = resolve(schema, at);
        if at["additionalProperties"].is_object() {
            return true;
        }
        at = &at["properties"][name];
        if at.is_null() {
            return false;
        }
        if part.contains('[') {
            at = &resolve(schema, at)["items"];
        }
    }
    true
}

/// What a reference refers to; of a value that may be null, the value.
fn resolve<'a>(schema: &'a Value, at: &'a Value) -> &'a Value {
    if let Some(pointer) = at["$ref"].as_str() {
        let found = schema.pointer(pointer.trim_start_matches('#'));
        return resolve(schema, found.unwrap_or(&Value::Null));
    }
    let alternatives = at["anyOf"].as_array().into_iter().flatten();
    let mut values = alternatives.filter(|one| one["type"] != "null");
    values.next().map_or(at, |value| resolve(schema, value))
}

/// The key is one of the chart's.
fn in_values(values: &Value, key: &str) -> bool {
    let mut at = values;
    for part in key.split('.') {
        match at.get(part) {
            Some(value) => at = value,
            None => return at.as_object().is_some_and(serde_json::Map::is_empty),
        }
    }
    true
}
