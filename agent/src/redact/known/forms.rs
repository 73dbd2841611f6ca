//! Tokens that begin with a prefix of their issuer.

/// Which bytes a token goes on with.
#[derive(Clone, Copy)]
pub(super) enum Alphabet {
    Word,
    Dotted,
    Path,
    Upper,
    Hex,
    Alnum,
    /// Of hashed passwords (crypt(5)), with their parameters.
    Crypt,
}

impl Alphabet {
    pub(super) const fn has(self, byte: u8) -> bool {
        match self {
            Self::Word => is_base64url(byte),
            Self::Dotted => is_base64url(byte) || byte == b'.',
            Self::Path => is_base64url(byte) || matches!(byte, b'/' | b'@'),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Crypt => {
                byte.is_ascii_alphanumeric()
                    || matches!(byte, b'.' | b'/' | b'+' | b'=' | b',' | b'$' | b'-')
            }
        }
    }
}

/// A prefix, what follows it and at least how much, and how much of the prefix stays.
pub(super) struct Form(
    pub(super) &'static str,
    pub(super) Alphabet,
    pub(super) usize,
    pub(super) usize,
);

/// From their issuers' documentation and the patterns of GitHub's secret scanning. Public
/// identifiers (Stripe's `pk_`) are not among them.
pub(super) static FORMS: [Form; 72] = {
    use Alphabet::{Alnum, Dotted, Hex, Path, Upper, Word};
    [
        Form("ghp_", Word, 20, 0),
        Form("gho_", Word, 20, 0),
        Form("ghu_", Word, 20, 0),
        Form("ghs_", Word, 20, 0),
        Form("ghr_", Word, 20, 0),
        Form("github_pat_", Word, 20, 0),
        Form("glpat-", Word, 16, 0),
        Form("gldt-", Word, 16, 0),
        Form("glrt-", Word, 16, 0),
        Form("glptt-", Word, 16, 0),
        Form("xoxa-", Word, 10, 0),
        Form("xoxb-", Word, 10, 0),
        Form("xoxc-", Word, 10, 0),
        Form("xoxd-", Word, 10, 0),
        Form("xoxe-", Word, 10, 0),
        Form("xoxe.", Dotted, 10, 0),
        Form("xoxo-", Word, 10, 0),
        Form("xoxp-", Word, 10, 0),
        Form("xoxr-", Word, 10, 0),
        Form("xoxs-", Word, 10, 0),
        Form("xapp-", Word, 10, 0),
        Form("slack.com/services/", Path, 10, 19),
        Form("slack.com/workflows/", Path, 10, 20),
        Form("slack.com/triggers/", Path, 10, 19),
        Form("/webhooks/", Path, 40, 10),
        Form("webhookb2/", Path, 40, 10),
        Form("sk_live_", Word, 10, 0),
        Form("sk_test_", Word, 10, 0),
        Form("rk_live_", Word, 10, 0),
        Form("rk_test_", Word, 10, 0),
        Form("whsec_", Word, 16, 0),
        Form("AKIA", Upper, 16, 0),
        Form("ASIA", Upper, 16, 0),
        Form("ABIA", Upper, 16, 0),
        Form("ACCA", Upper, 16, 0),
        Form("AIza", Word, 30, 0),
        Form("ya29.", Word, 20, 0),
        Form("GOCSPX-", Word, 20, 0),
        Form("1//0", Word, 30, 0),
        Form("npm_", Alnum, 30, 0),
        Form("pypi-", Word, 40, 0),
        Form("dop_v1_", Hex, 40, 0),
        Form("doo_v1_", Hex, 40, 0),
        Form("dor_v1_", Hex, 40, 0),
        Form("hf_", Alnum, 30, 0),
        Form("sk-ant-", Word, 20, 0),
        Form("sk-proj-", Word, 20, 0),
        Form("sk-svcacct-", Word, 20, 0),
        Form("sk-or-", Word, 20, 0),
        Form("sk-", Alnum, 32, 0),
        Form("SG.", Dotted, 40, 0),
        Form("key-", Hex, 32, 0),
        Form("shpat_", Hex, 32, 0),
        Form("shpss_", Hex, 32, 0),
        Form("shpca_", Hex, 32, 0),
        Form("shppa_", Hex, 32, 0),
        Form("sq0atp-", Word, 20, 0),
        Form("sq0csp-", Word, 20, 0),
        Form("xkeysib-", Word, 40, 0),
        Form("lin_api_", Alnum, 30, 0),
        Form("ntn_", Alnum, 40, 0),
        Form("figd_", Word, 30, 0),
        Form("dckr_pat_", Word, 20, 0),
        Form("hvs.", Word, 20, 0),
        Form("hvb.", Word, 20, 0),
        Form("glsa_", Word, 30, 0),
        Form("PMAK-", Word, 40, 0),
        Form("sntrys_", Word, 30, 0),
        Form("sntryu_", Hex, 40, 0),
        Form("ATATT3x", Word, 40, 0),
        Form("rubygems_", Hex, 40, 0),
        Form("gsk_", Alnum, 40, 0),
    ]
};

/// Those whose prefix is written in too many ways for [`FORMS`], or whose number matters; and
/// hashed passwords, which are tried out at leisure where they are known.
pub(super) static MORE_FORMS: [Form; 13] = {
    use Alphabet::{Alnum, Crypt, Hex, Upper, Word};
    [
        Form("pul-", Hex, 40, 0),
        Form("dapi", Hex, 32, 0),
        Form("tskey-", Word, 20, 0),
        Form("sbp_", Alnum, 40, 0),
        Form("SECRET-KEY-1", Upper, 50, 0),
        Form("$2a$", Crypt, 50, 0),
        Form("$2b$", Crypt, 50, 0),
        Form("$2y$", Crypt, 50, 0),
        Form("$argon2", Crypt, 30, 0),
        Form("$scrypt$", Crypt, 30, 0),
        Form("$5$", Crypt, 40, 0),
        Form("$6$", Crypt, 80, 0),
        Form("$y$", Crypt, 40, 0),
    ]
};

/// Forms whose prefix may begin with this byte, by its lower five bits: a form is a bit.
static BY_LETTER: [u128; 32] = {
    let mut forms = [0; 32];
    let mut at = 0;
    while at < FORMS.len() + MORE_FORMS.len() {
        forms[form(at).0.as_bytes()[0] as usize % 32] |= 1 << at;
        at += 1;
    }
    forms
};

const fn form(at: usize) -> &'static Form {
    if at < FORMS.len() {
        &FORMS[at]
    } else {
        &MORE_FORMS[at - FORMS.len()]
    }
}

/// The forms whose prefix may begin with this byte.
pub(super) fn by_letter(first: u8) -> impl Iterator<Item = &'static Form> {
    let mut left = BY_LETTER[usize::from(first) % 32];
    std::iter::from_fn(move || {
        let at = left.trailing_zeros() as usize;
        left &= left.wrapping_sub(1);
        (at < u128::BITS as usize).then(|| form(at))
    })
}

/// How many bytes are of an alphabet.
pub(super) fn run(text: &[u8], alphabet: Alphabet) -> usize {
    text.iter().take_while(|&&b| alphabet.has(b)).count()
}

/// The alphabet of RFC 4648 §5.
pub(super) const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}
