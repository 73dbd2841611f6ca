use std::os::unix::fs::PermissionsExt as _;

use super::super::super::shown::tests::shown;
use super::*;
use crate::tap::sample;

/// A folder of the test's own.
fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("meshtap-save-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).expect("a folder");
    folder
}

#[test]
fn a_har_file_for_its_owner_alone() {
    let folder = folder("har");
    let store = Store::default();
    store.append(vec![shown(&sample::exchange()); 3]);
    let path = folder.join("a.har");
    assert_eq!(
        har(&path, &[1, 3, 9], &store),
        format!(
            "{}: 2 of 3 exchanges written: the rest is gone",
            path.display()
        )
    );
    let document: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).expect("written")).expect("JSON");
    assert_eq!(document["log"]["entries"].as_array().map(Vec::len), Some(2));
    let mode = std::fs::metadata(&path)
        .expect("written")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn nothing_is_overwritten() {
    let folder = folder("again");
    let path = folder.join("a.sh");
    for expected in ["a.sh", "a-2.sh", "a-3.sh"] {
        let said = text(&path, expected);
        let file = folder.join(expected);
        assert!(
            said.starts_with(&format!("{}: written", file.display())),
            "{said}"
        );
        assert_eq!(
            said.ends_with("a.sh was there already"),
            expected != "a.sh",
            "{said}"
        );
    }
    for name in ["a.sh", "a-2.sh", "a-3.sh"] {
        assert_eq!(
            std::fs::read_to_string(folder.join(name)).expect("there"),
            name
        );
    }
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn nothing_is_written_through_a_link_or_to_a_device() {
    let folder = folder("link");
    let (target, link) = (folder.join("target"), folder.join("link"));
    std::fs::write(&target, "before").expect("written");
    std::os::unix::fs::symlink(&target, &link).expect("a link");
    let said = text(&link, "after");
    assert!(
        said.contains("is not written: it is a symbolic link"),
        "{said}"
    );
    assert_eq!(std::fs::read_to_string(&target).expect("there"), "before");
    let said = text(Path::new("/dev/null"), "x");
    assert!(said.ends_with("is not written: it is no file"), "{said}");
    let said = text(Path::new("-"), "x");
    assert!(said.ends_with("is not written: it is no file"), "{said}");
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn the_clipboard() {
    assert_eq!(clipboard("curl"), b"\x1b]52;c;Y3VybA==\x07");
}
