//! The files that a command writes besides what it prints: all opened before anything is captured,
//! so that a mistaken path costs nothing.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Failure, configure};
use crate::cli::OutputArgs;
use crate::export::Target;
use crate::files::{Files, Kind, Output};

/// The outputs of `tap` and `replay`.
pub(super) struct Outputs {
    /// Where spans go.
    pub(super) targets: Vec<Target>,
    pub(super) record: Option<Output>,
    pub(super) har: Option<Output>,
    pub(super) ledger: Option<Output>,
    /// Exchanges are printed. Not when a recording or HAR document has standard output.
    pub(super) prints: bool,
}

impl Outputs {
    /// Opens them. `input` is what is replayed.
    pub(super) fn open(
        args: &OutputArgs,
        record: Option<&Path>,
        input: Option<&File>,
    ) -> Result<Self, Failure> {
        // First, so that a wrong one costs nothing.
        let targets = configure::targets_of(&args.export)?;
        let mut files = Files::new();
        if let Some(input) = input {
            files.input("what is read", input);
            guard_standard(&files)?;
        }
        let mut open = |path: Option<&Path>| path.map(|path| output(&mut files, path)).transpose();
        let (record, har) = (open(record)?, open(args.har.as_deref())?);
        let ledger = open(args.ledger_json.as_deref())?;
        let prints = ![&record, &har].into_iter().flatten().any(Output::is_stdout);
        if args.json && !prints {
            return Err(Failure::Usage(
                "--json writes to standard output already: name a file instead of `-`".to_owned(),
            ));
        }
        Ok(Self {
            targets,
            record,
            har,
            ledger,
            prints,
        })
    }
}

/// Neither what is printed nor what is said on standard error may go to a file that is read.
fn guard_standard(files: &Files) -> Result<(), Failure> {
    let refused = |path: &str, reason| Failure::Refused {
        path: path.into(),
        reason,
    };
    let stdout = files.inherited(rustix::stdio::stdout());
    if let Err(reason) = files.inherited(rustix::stdio::stderr()) {
        // This is not to be said there, either.
        match &stdout {
            Ok(()) => rustix::stdio::dup2_stderr(rustix::stdio::stdout()),
            Err(_) => File::options()
                .write(true)
                .open("/dev/null")
                .map_or(Ok(()), rustix::stdio::dup2_stderr),
        }
        .ok();
        return Err(refused("standard error", reason));
    }
    stdout.map_err(|reason| refused("standard output", reason))
}

/// Opens an output.
pub(super) fn output(files: &mut Files, path: &Path) -> Result<Output, Failure> {
    files.output(path).map_err(|reason| Failure::Refused {
        path: path.to_owned(),
        reason,
    })
}

/// Begins an output: its path, for errors, and the file.
pub(super) fn start(output: Output) -> Result<(PathBuf, File), Failure> {
    let path = output.path().to_owned();
    match output.start() {
        Ok(file) => Ok((path, file)),
        Err(error) => Err(Failure::Write { path, error }),
    }
}

/// Writes a ledger.
pub(super) fn write_ledger(output: Output, ledger: &Value) -> Result<(), Failure> {
    let is_line = output.kind() == Kind::Inherited;
    let (path, mut file) = start(output)?;
    match is_line {
        true => writeln!(file, "{ledger}"),
        false => writeln!(file, "{ledger:#}"),
    }
    .map_err(|error| Failure::Write { path, error })
}
