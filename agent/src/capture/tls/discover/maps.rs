//! `/proc/PID/maps` (proc_pid_maps(5)): which files a process has mapped as code.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use hashbrown::HashSet;
use rustix::fs::makedev;

/// Files of one process whose code is looked at: a browser has some hundred.
const MAX_FILES: usize = 1024;

/// A file of which a process has mapped code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) file: MappedFile,
    /// The range, as `map_files` names it.
    pub(super) range: String,
    /// As the process sees it. Removed files have ` (deleted)` at the end.
    pub(super) path: PathBuf,
}

/// Device and inode, as the kernel shows them in `maps`. On some filesystems these are not what
/// `stat` gives; they are never compared with that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct MappedFile {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// The files of executable mappings, each once.
pub(super) fn executable(maps: &[u8]) -> Vec<Mapped> {
    let mut known = HashSet::new();
    let mapped = maps.split(|byte| *byte == b'\n').filter_map(line);
    mapped
        .filter(|mapped| known.insert(mapped.file))
        .take(MAX_FILES)
        .collect()
}

/// `7f0000000000-7f0000001000 r-xp 00001000 08:01 1234   /usr/lib/libssl.so.3`
fn line(line: &[u8]) -> Option<Mapped> {
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let mut text = || str::from_utf8(fields.next()?).ok();
    let (range, rights, _) = (text()?, text()?, text()?);
    let (device, inode) = (text()?, text()?.parse().ok()?);
    let path = fields.next()?.trim_ascii_start();
    if rights.as_bytes().get(2) != Some(&b'x') || inode == 0 || !path.starts_with(b"/") {
        return None;
    }
    let (major, minor) = device.split_once(':')?;
    let number = |text| u32::from_str_radix(text, 16).ok();
    Some(Mapped {
        file: MappedFile {
            device: makedev(number(major)?, number(minor)?),
            inode,
        },
        range: range.to_owned(),
        path: OsString::from_vec(path.to_owned()).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(maps: &str, expected: &[(u64, &str)]) {
        let found = executable(maps.as_bytes());
        let found: Vec<_> = found
            .iter()
            .map(|mapped| (mapped.file.inode, mapped.path.to_str().expect("text")))
            .collect();
        assert_eq!(found, expected, "{maps}");
    }

    #[test]
    fn code_of_files() {
        check(
            "55d0-55d1 r--p 00000000 08:01 7                  /usr/bin/curl\n\
             55d1-55d2 r-xp 00001000 08:01 7                  /usr/bin/curl\n\
             7f01-7f02 r-xp 00001000 08:01 8                  /usr/lib/a b.so (deleted)\n\
             7f03-7f04 r-xp 00001000 08:01 7                  /usr/bin/curl\n",
            &[(7, "/usr/bin/curl"), (8, "/usr/lib/a b.so (deleted)")],
        );
    }

    #[test]
    fn what_is_no_file_is_nothing() {
        check("7ffd-7ffe r-xp 00000000 00:00 0      [vdso]\n", &[]);
        check("7ffd-7ffe rwxp 00000000 00:00 0 \n", &[]);
        check(
            "7ffd-7ffe r-xs 00000000 00:0e 9      anon_inode:[perf]\n",
            &[],
        );
        check("broken\n\n7ffd", &[]);
    }
}
