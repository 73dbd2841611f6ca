//! The TLS hook: plaintext where programs decrypt and encrypt it. Its programs are an object of
//! their own (`kernel/tls`), and attach to files as those come and go.

use super::super::tls::NAMES;
use super::{Hook, HookName, Programs};

pub(super) static HOOK: Hook = Hook {
    name: HookName::Tls,
    without: "TLS is left alone until then; docs/tls.md lists what it needs",
    programs: Programs::OfFiles(NAMES),
};
