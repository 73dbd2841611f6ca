//! A line of the list, as the page reads it: an array, since a hundred thousand of them are sent.

use serde::Serialize;
use serde::ser::{SerializeSeq as _, Serializer};

use crate::tap::body::media_type;
use crate::views::shown::visible;
use crate::views::stats::key::{client, server};
use crate::views::{Row, Shown};

/// One line. The places of its values are those of `assets/rows.js`.
pub(super) struct PageRow {
    row: Row,
    from: String,
    to: String,
    kind: Option<String>,
}

/// How many values a line has.
const VALUES: usize = 18;

impl PageRow {
    pub(super) fn of(id: u64, shown: &Shown) -> Self {
        let response = shown.exchange().response.as_ref();
        let kind = response.and_then(|response| media_type(&response.head.fields));
        Self {
            row: shown.row(id),
            from: client(shown),
            to: server(shown),
            kind: kind.map(visible),
        }
    }
}

impl Serialize for PageRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = &self.row;
        let mut line = serializer.serialize_seq(Some(VALUES))?;
        line.serialize_element(&row.id)?;
        line.serialize_element(&row.time_us)?;
        line.serialize_element(&row.duration_ns)?;
        line.serialize_element(&row.method)?;
        line.serialize_element(row.host.as_deref().unwrap_or_default())?;
        line.serialize_element(&row.target)?;
        line.serialize_element(&row.status)?;
        line.serialize_element(&row.request_size)?;
        line.serialize_element(&row.response_size.unwrap_or(0))?;
        line.serialize_element(&self.from)?;
        line.serialize_element(&self.to)?;
        line.serialize_element(self.kind.as_deref().unwrap_or_default())?;
        line.serialize_element(row.protocol)?;
        line.serialize_element(&row.tls)?;
        line.serialize_element(&row.call)?;
        line.serialize_element(&row.partial)?;
        line.serialize_element(&row.upgrade)?;
        line.serialize_element(&row.failed)?;
        line.end()
    }
}
