//! Do the calls of a program look like those of a TLS library? A function that was taken for
//! another one would give rubbish: it is detached from.

use meshtap_common::TlsProcess;

use super::TlsProbes;

/// Sessions after which a process is judged.
const ENOUGH: u32 = 16;

/// What is wrong with the calls of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// No call used a socket: a program that does its own I/O, or no TLS at all.
    NoSocket,
    /// No session began like HTTP.
    NotHttp,
    /// Results contradict arguments.
    Contradiction,
}

impl Doubt {
    /// For people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::NoSocket => "its calls use no socket",
            Self::NotHttp => "what it carries is not HTTP",
            Self::Contradiction => "results of its calls contradict their arguments",
        }
    }
}

impl TlsProbes {
    /// Processes (the kernel's tgid) that look wrong.
    #[must_use]
    pub fn doubted(&self) -> Vec<(u32, Doubt)> {
        let entries = self.processes.iter().filter_map(Result::ok);
        entries
            .filter_map(|(tgid, process)| Some((u32::try_from(tgid).ok()?, judge(&process)?)))
            .collect()
    }
}

fn judge(process: &TlsProcess) -> Option<Doubt> {
    if process.refused >= ENOUGH && process.refused > process.sessions {
        return Some(Doubt::Contradiction);
    }
    if process.sessions < ENOUGH {
        return None;
    }
    match process {
        TlsProcess { touched: 0, .. } => Some(Doubt::NoSocket),
        TlsProcess { plausible: 0, .. } => Some(Doubt::NotHttp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_judged_when_enough_is_known() {
        let check = |[sessions, touched, plausible, refused]: [u32; 4], expected| {
            let process = TlsProcess {
                sessions,
                touched,
                plausible,
                refused,
            };
            assert_eq!(judge(&process), expected, "{process:?}");
        };
        check([0, 0, 0, 0], None);
        check([15, 0, 0, 0], None);
        check([16, 0, 0, 0], Some(Doubt::NoSocket));
        check([16, 0, 16, 0], Some(Doubt::NoSocket));
        check([16, 1, 0, 0], Some(Doubt::NotHttp));
        check([16, 1, 1, 0], None);
        check([0, 0, 0, 15], None);
        check([0, 0, 0, 16], Some(Doubt::Contradiction));
        check([1000, 1000, 1000, 16], None);
    }
}
