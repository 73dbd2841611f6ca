//! What is exported: items of a named kind.

/// The kind of the items that an exporter takes. It is the label of metrics and the member `item`
/// of reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ItemKind {
    /// One span of one exchange.
    #[default]
    Span,
    /// One entry of a HAR document.
    HarEntry,
    /// One line of an access log, or none where its filter says so.
    LogLine,
    /// One record of it, likewise.
    LogRecord,
    /// One value of one series of a metric at one time.
    DataPoint,
}

impl ItemKind {
    /// They are made of spans; others are made of whole exchanges, or of metrics.
    #[must_use]
    pub const fn is_of_spans(self) -> bool {
        match self {
            Self::Span => true,
            Self::HarEntry | Self::LogLine | Self::LogRecord | Self::DataPoint => false,
        }
    }

    /// There is one for each exchange that is kept.
    #[must_use]
    pub const fn is_of_exchanges(self) -> bool {
        !matches!(self, Self::DataPoint)
    }

    /// They are the access log's.
    #[must_use]
    pub const fn is_of_log(self) -> bool {
        matches!(self, Self::LogLine | Self::LogRecord)
    }

    /// The name in metrics and JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Span => "span",
            Self::HarEntry => "har_entry",
            Self::LogLine => "log_line",
            Self::LogRecord => "log_record",
            Self::DataPoint => "data_point",
        }
    }

    /// The name of one, in text for people.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Span => "span",
            Self::HarEntry => "HAR entry",
            Self::LogLine => "log line",
            Self::LogRecord => "log record",
            Self::DataPoint => "data point",
        }
    }
}
