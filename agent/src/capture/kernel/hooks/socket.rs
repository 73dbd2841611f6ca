//! The socket hook: plaintext of every socket, where the kernel's TCP hands it over.

use aya::programs::CgroupSkbAttachType;

use super::{AttachPoint, Hook, HookName, Program, Programs};

pub(super) static HOOK: Hook = Hook {
    name: HookName::Socket,
    without: "report the line, with uname -r",
    programs: Programs::OfCgroup(&[
        Program {
            name: "meshtap_ingress",
            attach: AttachPoint::Skb(CgroupSkbAttachType::Ingress),
        },
        Program {
            name: "meshtap_egress",
            attach: AttachPoint::Skb(CgroupSkbAttachType::Egress),
        },
    ]),
};
