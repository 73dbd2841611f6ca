//! What the policy did, by reason. The enums index arrays and are the labels of the metrics.

/// Why an exchange is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skip {
    /// Its trace is not among those sampled.
    Sampling,
    /// Its trace is not among those sampled while the agent is over its budget.
    Overload,
    /// Its workload is out of scope.
    Workload,
    /// A kubelet probe.
    Probe,
    /// An export of this agent's, or of another one's, as the collector receives it.
    Own,
    /// A rule on its path.
    Path,
    /// A rule on its host.
    Host,
    /// A rule on its method.
    Method,
    /// A rule on its status.
    Status,
}

impl Skip {
    /// Every reason, in order.
    pub const ALL: [Self; 9] = [
        Self::Sampling,
        Self::Overload,
        Self::Workload,
        Self::Probe,
        Self::Own,
        Self::Path,
        Self::Host,
        Self::Method,
        Self::Status,
    ];

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sampling => "sampling",
            Self::Overload => "overload",
            Self::Workload => "workload",
            Self::Probe => "probe",
            Self::Own => "own",
            Self::Path => "path",
            Self::Host => "host",
            Self::Method => "method",
            Self::Status => "status",
        }
    }
}

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
}

impl Rule {
    /// Every rule, in order.
    pub const ALL: [Self; 14] = [
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
        }
    }
}

/// Totals of a policy. Exchanges handed in = kept + each reason to skip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Exchanges kept.
    pub kept: u64,
    /// Exchanges not kept; index by `Skip as usize`.
    pub skipped: [u64; Skip::ALL.len()],
    /// Values hidden (in a dry run: that would be); index by `Rule as usize`.
    pub redacted: [u64; Rule::ALL.len()],
    /// Bodies left out because they could not be inspected (in a dry run: that would be).
    pub bodies_uninspected: u64,
    /// Bodies left out by a rule on their media type.
    pub bodies_unwanted: u64,
    /// Bodies left out while the agent was over its budget.
    pub bodies_overload: u64,
}

impl Counts {
    pub(super) fn skip(&mut self, reason: Skip) {
        self.skipped[reason as usize] += 1;
    }

    pub(super) fn redact(&mut self, rule: Rule) {
        self.redacted[rule as usize] += 1;
    }

    /// Adds those of another worker.
    pub fn add(&mut self, other: &Self) {
        self.kept += other.kept;
        for (sum, n) in self.skipped.iter_mut().zip(other.skipped) {
            *sum += n;
        }
        for (sum, n) in self.redacted.iter_mut().zip(other.redacted) {
            *sum += n;
        }
        self.bodies_uninspected += other.bodies_uninspected;
        self.bodies_unwanted += other.bodies_unwanted;
        self.bodies_overload += other.bodies_overload;
    }
}

const _: () = {
    let mut i = 0;
    while i < Rule::ALL.len() {
        assert!(Rule::ALL[i] as usize == i);
        i += 1;
    }
    let mut i = 0;
    while i < Skip::ALL.len() {
        assert!(Skip::ALL[i] as usize == i);
        i += 1;
    }
};
