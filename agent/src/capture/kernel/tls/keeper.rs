//! Keeps the probes where discovery says that a TLS library is in use, and where the guard does
//! not say that it is none.

use std::path::PathBuf;

use hashbrown::HashMap;

use super::{Doubt, TlsProbes};
use crate::capture::tls::discover::{Change, FileKey, Target};
use crate::capture::tls::locate::{Library, Role};

/// Files whose fate is remembered; more than any node runs.
const MAX_FILES: usize = 4096;

/// What has become of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its path, as its first user sees it.
    pub path: PathBuf,
    /// What was done, or why not.
    pub state: TargetState,
}

/// Whether plaintext of a file's functions is captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// It is: located this way, in use by so many processes.
    Attached(&'static str, usize),
    /// It holds a TLS library that is not read.
    Refused(String),
    /// Its last user is gone.
    Gone,
    /// It was attached to, and looked wrong.
    Doubted(Doubt),
}

/// Attaches and detaches.
#[derive(Debug)]
pub struct TlsKeeper {
    probes: TlsProbes,
    files: HashMap<FileKey, File>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    pids: Vec<u32>,
    /// It is attached to; its functions were found by what they do, not by their names.
    attached: Option<bool>,
}

impl TlsKeeper {
    /// Nothing is attached to yet.
    #[must_use]
    pub fn new(probes: TlsProbes) -> Self {
        Self {
            probes,
            files: HashMap::new(),
        }
    }

    /// Acts on a change. `None`: there is nothing to report.
    pub fn apply(&mut self, change: Change) -> Option<Notice> {
        match change {
            Change::Added(target) => self.add(target),
            Change::Users(key, pids) => {
                self.files.get_mut(&key)?.pids = pids;
                None
            }
            Change::Removed(key) => {
                self.probes.detach(key);
                let file = self.files.remove(&key)?;
                file.attached.map(|_| Notice {
                    path: file.path,
                    state: TargetState::Gone,
                })
            }
        }
    }

    fn add(&mut self, target: Target) -> Option<Notice> {
        let Target {
            key,
            path,
            file,
            functions,
            pids,
        } = target;
        let users = pids.len();
        let attached = match functions {
            Err(refusal) if refusal.is_about_tls() => Err(refusal.to_string()),
            Err(_) => return None,
            Ok(located) if located.of(Role::Read).next().is_none() => {
                Err(format!("{}: not read yet", located.library.name()))
            }
            Ok(located) => match self.probes.attach(key, &file, &located) {
                Ok(()) => Ok(located.library),
                Err(refused) => Err(refused.to_string()),
            },
        };
        if self.files.len() < MAX_FILES {
            let is_guess = |library: &Library| *library == Library::StrippedBoringssl;
            let file = File {
                path: path.clone(),
                pids,
                attached: attached.as_ref().ok().map(is_guess),
            };
            self.files.insert(key, file);
        }
        let state = match attached {
            Ok(library) => TargetState::Attached(library.name(), users),
            Err(reason) => TargetState::Refused(reason),
        };
        Some(Notice { path, state })
    }

    /// Detaches from what looks wrong. Only a file whose functions were found by what they do can
    /// be wrong as a whole.
    pub fn guard(&mut self) -> Vec<Notice> {
        let mut notices = Vec::new();
        for (tgid, doubt) in self.probes.doubted() {
            let found = self
                .files
                .iter_mut()
                .find(|(_, file)| file.attached == Some(true) && file.pids.contains(&tgid));
            if let Some((key, file)) = found {
                file.attached = None;
                let path = file.path.clone();
                self.probes.detach(*key);
                notices.push(Notice {
                    path,
                    state: TargetState::Doubted(doubt),
                });
            }
        }
        notices
    }

    /// Files that are attached to.
    #[must_use]
    pub fn attached(&self) -> usize {
        self.probes.files()
    }
}
