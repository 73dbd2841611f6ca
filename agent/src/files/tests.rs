use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::CWD;

use super::*;

/// A folder of its own.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("meshtap-files-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// In a folder with a file `victim`: what is made under `out`, and what comes of writing to it. The
/// victim never changes.
#[track_caller]
fn check(make: impl FnOnce(&Scratch), expected: Result<Kind, &str>) {
    let scratch = Scratch::new();
    fs::write(scratch.path("victim"), "precious").unwrap();
    make(&scratch);
    let found = Files::default()
        .output(&scratch.path("out"))
        .map(|output| output.kind())
        .map_err(|refused| refused.to_string());
    match expected {
        Ok(kind) => assert_eq!(found, Ok(kind)),
        Err(words) => assert!(found.clone().unwrap_err().contains(words), "{found:?}"),
    }
    assert_eq!(fs::read(scratch.path("victim")).unwrap(), b"precious");
}

/// A named pipe with a reader, which is held for the test's life.
fn pipe(path: &Path) -> OwnedFd {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    rustix::fs::open(path, flags, Mode::empty()).unwrap()
}

#[test]
fn what_may_be_written_to() {
    check(|_| (), Ok(Kind::File));
    check(
        |scratch| fs::write(scratch.path("out"), "old").unwrap(),
        Ok(Kind::File),
    );
    let mut reader = None;
    check(
        |scratch| reader = Some(pipe(&scratch.path("out"))),
        Ok(Kind::Stream),
    );
}

#[test]
fn what_may_not() {
    check(
        |scratch| symlink("victim", scratch.path("out")).unwrap(),
        Err("symbolic link"),
    );
    check(
        |scratch| symlink("nothing", scratch.path("out")).unwrap(),
        Err("symbolic link"),
    );
    check(
        |scratch| fs::hard_link(scratch.path("victim"), scratch.path("out")).unwrap(),
        Err("2 names"),
    );
    check(
        |scratch| fs::create_dir(scratch.path("out")).unwrap(),
        Err("folder"),
    );
    check(
        |scratch| drop(pipe(&scratch.path("out"))),
        Err("nobody reads"),
    );
    check(
        |scratch| {
            drop(std::os::unix::net::UnixListener::bind(scratch.path("out")).unwrap());
        },
        Err("socket"),
    );
}

#[test]
fn a_file_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let give = |path: PathBuf| std::os::unix::fs::lchown(path, Some(65_534), None).unwrap();
    check(
        |scratch| {
            fs::write(scratch.path("out"), "").unwrap();
            give(scratch.path("out"));
        },
        Err("uid 65534"),
    );
    check(
        |scratch| {
            drop(pipe(&scratch.path("out")));
            let reader = rustix::fs::open(
                scratch.path("out"),
                OFlags::RDONLY | OFlags::NONBLOCK,
                Mode::empty(),
            );
            give(scratch.path("out"));
            std::mem::forget(reader);
        },
        Err("uid 65534"),
    );
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("folder")).unwrap();
    symlink("folder", scratch.path("link")).unwrap();
    let through = scratch.path("link").join("out");
    assert!(Files::default().output(&through).is_ok());
    give(scratch.path("link"));
    let refused = Files::default().output(&through).unwrap_err();
    assert!(refused.to_string().contains("its folder link"), "{refused}");
}

#[test]
fn folders() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("a/b")).unwrap();
    symlink("../a/b", scratch.path("a/link")).unwrap();
    symlink("loop", scratch.path("loop")).unwrap();
    let found = |name: &str| {
        let output = Files::default().output(&scratch.path(name))?;
        output.start().map(drop)?;
        Ok::<_, Refused>(scratch.path("a/b/out").exists())
    };
    assert!(found("a/link/./../b/out").unwrap());
    assert!(found("loop/out").unwrap_err().to_string().contains("links"));
    for folder in ["a/b/", "a/..", ""] {
        let refused = found(folder).unwrap_err().to_string();
        assert!(refused.contains("folder"), "{folder}: {refused}");
    }
    let missing = found("none/out").unwrap_err().to_string();
    assert!(missing.contains("No such file"), "{missing}");
}

#[test]
fn nothing_changes_before_the_start() {
    let scratch = Scratch::new();
    let old = scratch.path("old");
    fs::write(&old, "old").unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o644)).unwrap();
    let mut files = Files::default();
    drop(files.output(&old).unwrap());
    drop(Files::default().output(&scratch.path("new")).unwrap());
    assert_eq!(fs::read(&old).unwrap(), b"old");
    assert!(!scratch.path("new").exists());
    let mut file = Files::default().output(&old).unwrap().start().unwrap();
    file.write_all(b"new").unwrap();
    assert_eq!(fs::read(&old).unwrap(), b"new");
    let mode = fs::metadata(&old).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_is_used_once() {
    let scratch = Scratch::new();
    let input = scratch.path("input");
    fs::write(&input, "precious").unwrap();
    let mut files = Files::default();
    files.input("the recording", File::open(&input).unwrap());
    let refused = files.output(&input).unwrap_err().to_string();
    assert_eq!(refused, "it is the same file as the recording");
    let first = files.output(&scratch.path("out")).unwrap();
    let again = files.output(&scratch.path("./out")).unwrap_err();
    assert!(again.to_string().contains("the same file as"), "{again}");
    assert!(files.output(Path::new("/dev/null")).is_ok());
    assert!(files.output(Path::new("/dev/null")).is_ok());
    // What the agent was started with is written to already.
    files.take("standard error", File::create(scratch.path("log")).unwrap());
    let refused = files.output(&scratch.path("log")).unwrap_err().to_string();
    assert_eq!(refused, "it is the same file as standard error");
    drop(first);
    assert_eq!(fs::read(&input).unwrap(), b"precious");
}

#[test]
fn descriptors_of_ours() {
    let check = |text: &str, expected: bool| {
        let opened = Files::default().output(Path::new(text));
        let kind = opened.as_ref().map(Output::kind);
        assert_eq!(kind.ok() == Some(Kind::Inherited), expected, "{text}");
    };
    check("-", true);
    check("/dev/stdout", true);
    check("/dev/stderr", true);
    check("/dev/fd/2", true);
    check("/dev/fd/99999", false);
    check("/dev/fd/x", false);
    check("/dev/null", false);
    let mut files = Files::default();
    assert!(files.output(Path::new("-")).unwrap().is_stdout());
    let again = files.output(Path::new("/dev/stdout")).unwrap_err();
    assert!(again.to_string().contains("another output"), "{again}");
}

#[test]
fn an_inherited_descriptor_must_not_lead_to_an_input() {
    let scratch = Scratch::new();
    let open = |name: &str| {
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).append(true).create(true);
        options.open(scratch.path(name)).unwrap()
    };
    let (input, again, other) = (open("a"), open("a"), open("b"));
    let mut files = Files::default();
    files.input("what is read", &input);
    assert!(files.inherited(&other).is_ok());
    let refused = files.inherited(&again).unwrap_err().to_string();
    assert_eq!(refused, "it is the same file as what is read");
    // As an output of the command, too.
    let output = |files: &mut Files, file: &File| {
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
        files.output(Path::new(&path)).map(|output| output.kind())
    };
    assert!(matches!(output(&mut files, &again), Err(Refused::Same(_))));
    assert_eq!(output(&mut files, &other).unwrap(), Kind::Inherited);
    // Two readers and writers of a device do each other no harm.
    let null = || {
        File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .unwrap()
    };
    files.input("nothing", null());
    assert!(files.inherited(null()).is_ok());
}
