//! Writes the archive that the kernel unpacks as its first root folder.
//!
//! Format: "newc" of the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`: a
//! head of thirteen eight-digit hexadecimal fields after the magic `070701`, the name with its NUL,
//! the data, each padded to four bytes; the entry `TRAILER!!!` ends it.

use std::io::{self, Write};

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// An archive that is being written.
pub struct Archive<W: Write> {
    to: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    pub fn new(to: W) -> Self {
        Self { to, entries: 0 }
    }

    /// A folder; those above it come first.
    pub fn folder(&mut self, path: &str) -> io::Result<()> {
        self.entry(path, FOLDER, (0, 0), &[])
    }

    /// A file that may be run.
    pub fn program(&mut self, path: &str, data: &[u8]) -> io::Result<()> {
        self.entry(path, PROGRAM, (0, 0), data)
    }

    /// A character device.
    pub fn device(&mut self, path: &str, major: u32, minor: u32) -> io::Result<()> {
        self.entry(path, CHARACTER_DEVICE, (major, minor), &[])
    }

    /// Ends the archive.
    pub fn finish(mut self) -> io::Result<W> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), data: &[u8]) -> io::Result<()> {
        self.entries += 1;
        let too_large = |_| io::Error::other(format!("{path} does not fit into a cpio archive"));
        let size = u32::try_from(data.len()).map_err(too_large)?;
        let name = u32::try_from(path.len() + 1).map_err(too_large)?;
        let fields = [
            self.entries, // inode
            mode,
            0, // user
            0, // group
            1, // links
            0, // modified
            size,
            0, // major and minor number of the device that holds it
            0,
            device.0,
            device.1,
            name,
            0, // checksum: not of this magic
        ];
        let mut head = String::from("070701");
        for field in fields {
            head.push_str(&format!("{field:08x}"));
        }
        head.push_str(path);
        head.push('\0');
        self.padded(head.as_bytes())?;
        self.padded(data)
    }

    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        let padding = bytes.len().next_multiple_of(4) - bytes.len();
        self.to.write_all(&[0; 3][..padding])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_padded_and_sized() {
        let mut archive = Archive::new(Vec::new());
        archive.program("init", b"hello").unwrap();
        archive.device("dev/console", 5, 1).unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap();
        let head = "07070100000001000081ed000000000000000000000001000000000000000500000000000000000000000000000000\
                    0000000500000000init\0";
        assert_eq!(text.get(..head.len()), Some(head));
        // 110 bytes of head and 5 of name are padded by one; 5 bytes of data by three.
        assert_eq!(text.get(head.len()..head.len() + 9), Some("\0hello\0\0\0"));
        let device = text.get(head.len() + 9..).unwrap();
        assert!(device.starts_with("0707010000000200002180"), "{device}");
        assert_eq!(device.get(78..94), Some("0000000500000001"));
        assert!(text.trim_end_matches('\0').ends_with("TRAILER!!!"));
    }

    /// The kernel's reader is not here; busybox has another one.
    #[test]
    fn another_reader_unpacks_it() {
        let Some(busybox) = crate::command::find("busybox") else {
            eprintln!("skipped: no busybox to read the archive with");
            return;
        };
        let mut archive = Archive::new(Vec::new());
        archive.folder("folder").unwrap();
        archive.program("folder/odd", b"12345").unwrap();
        archive.program("folder/even", b"1234").unwrap();
        let bytes = archive.finish().unwrap();
        let mut reader = std::process::Command::new(busybox)
            .args(["cpio", "-t"])
            .stderr(std::process::Stdio::null())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        reader.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = reader.wait_with_output().unwrap();
        let list = String::from_utf8(output.stdout).unwrap();
        assert_eq!(list, "folder\nfolder/odd\nfolder/even\n");
    }
}
