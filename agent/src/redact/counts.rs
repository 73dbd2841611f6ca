//! What was hidden and omitted, by reason. The enums index arrays and are the labels of the
//! metrics.

use super::sanitized::Omitted;

/// What kind of place a hidden value stood in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// `authorization`, `proxy-authorization`.
    Authorization,
    /// `cookie`.
    Cookie,
    /// `set-cookie`.
    SetCookie,
    /// Another header field with a secret's name.
    Header,
    /// A query parameter of the target or of a URL in a header field.
    Query,
    /// User name and password in a URL.
    UserInfo,
    /// A JSON field.
    Json,
    /// A field of an urlencoded form.
    Form,
    /// An XML or HTML element or attribute.
    Xml,
    /// A part of a multipart form.
    Multipart,
    /// A body that is a token as a whole, by its media type.
    Token,
    /// A payment card number.
    Card,
    /// An e-mail address.
    Email,
    /// A JSON Web Token.
    Jwt,
    /// A value beside a secret's name in text: `password=x`, a line of YAML, a cell of a table.
    Text,
    /// A token whose issuer gave it a prefix.
    KnownToken,
    /// A private key in PEM.
    PrivateKey,
    /// A field's value, or the query of the target, that costs too much to be searched.
    Effort,
}

impl Rule {
    /// Every rule, in order.
    pub const ALL: [Self; 18] = [
        Self::Authorization,
        Self::Cookie,
        Self::SetCookie,
        Self::Header,
        Self::Query,
        Self::UserInfo,
        Self::Json,
        Self::Form,
        Self::Xml,
        Self::Multipart,
        Self::Token,
        Self::Card,
        Self::Email,
        Self::Jwt,
        Self::Text,
        Self::KnownToken,
        Self::PrivateKey,
        Self::Effort,
    ];

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Cookie => "cookie",
            Self::SetCookie => "set_cookie",
            Self::Header => "header",
            Self::Query => "query",
            Self::UserInfo => "userinfo",
            Self::Json => "json",
            Self::Form => "form",
            Self::Xml => "xml",
            Self::Multipart => "multipart",
            Self::Token => "token",
            Self::Card => "card",
            Self::Email => "email",
            Self::Jwt => "jwt",
            Self::Text => "text",
            Self::KnownToken => "known_token",
            Self::PrivateKey => "private_key",
            Self::Effort => "effort",
        }
    }
}

/// Totals of a redactor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Values hidden (in a dry run: that would be); index by `Rule as usize`.
    pub redacted: [u64; Rule::ALL.len()],
    /// Bodies omitted (in a dry run, as uninspected: that would be); index by `Omitted as usize`.
    pub omitted: [u64; Omitted::ALL.len()],
}

impl Counts {
    pub(super) fn redact(&mut self, rule: Rule) {
        self.redacted[rule as usize] += 1;
    }

    pub(super) fn omit(&mut self, why: Omitted) {
        self.omitted[why as usize] += 1;
    }

    /// Adds those of another worker.
    pub fn add(&mut self, other: &Self) {
        for (sum, n) in self.redacted.iter_mut().zip(other.redacted) {
            *sum += n;
        }
        for (sum, n) in self.omitted.iter_mut().zip(other.omitted) {
            *sum += n;
        }
    }
}

const _: () = {
    let mut i = 0;
    while i < Rule::ALL.len() {
        assert!(Rule::ALL[i] as usize == i);
        i += 1;
    }
    let mut i = 0;
    while i < Omitted::ALL.len() {
        assert!(Omitted::ALL[i] as usize == i);
        i += 1;
    }
};
