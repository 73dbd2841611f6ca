//! The work is linear: twice the text costs at most two and a half times the steps, and no text
//! costs more than the effort allows, whatever it is made of and whatever it is called.

mod shapes;

use super::document::Room;
use super::edit::Edits;
use super::effort::Effort;
use super::fixture::search;
use super::query;
use shapes::{FORMS, INSIDE, MEDIA_TYPES, OPENED, UNITS};

/// Texts of one size and of twice that.
const SIZES: [usize; 2] = [3 * 1024, 6 * 1024];

/// More than this, and steps at all are not counted but a constant.
const BASE: u64 = 2048;

fn text(unit: &str, len: usize) -> Vec<u8> {
    unit.bytes().cycle().take(len).collect()
}

/// A unit once, then another to the end: what begins is never closed.
fn opened(first: &str, unit: &str, len: usize) -> Vec<u8> {
    first
        .bytes()
        .chain(unit.bytes().cycle())
        .take(len)
        .collect()
}

type Scan = dyn Fn(&[u8], &mut Effort, &mut Edits);

/// Steps of a text, which are never more than are allowed by more than one look at it.
fn steps(scan: &Scan, text: &[u8]) -> u64 {
    let mut effort = Effort::for_len(text.len());
    scan(text, &mut effort, &mut Edits::default());
    let most = effort.limit() + 8 * text.len() as u64;
    assert!(effort.steps() <= most, "{} steps", effort.steps());
    effort.steps()
}

fn check(what: &str, scan: &Scan, make: &dyn Fn(usize) -> Vec<u8>) {
    let [once, twice] = SIZES.map(|len| steps(scan, &make(len)));
    assert!(
        2 * twice <= 5 * (once + BASE),
        "{what}: {once} steps, and {twice} of twice the text"
    );
}

fn check_all(what: &str, scan: &Scan) {
    for unit in UNITS.iter().chain(&FORMS) {
        check(&format!("{what} {unit:?}"), scan, &|len| text(unit, len));
    }
    for first in OPENED {
        for unit in INSIDE {
            let what = format!("{what} {first:?} {unit:?}");
            check(&what, scan, &|len| opened(first, unit, len));
        }
    }
}

#[test]
fn bodies() {
    for media_type in MEDIA_TYPES {
        check_all(media_type, &|text, effort, edits| {
            let room = &mut Room::default();
            search().body(media_type.as_bytes(), text, room, effort, edits);
        });
    }
}

#[test]
fn targets_and_header_fields() {
    check_all("target", &|text, effort, edits| {
        query::scan_url(text, search().tools(), effort, edits);
        search().tokens(text, &mut Room::default(), effort, edits);
    });
    check_all("field", &|text, effort, edits| {
        search().value(text, &mut Room::default(), effort, edits);
    });
}

#[test]
fn what_clients_and_servers_send_is_searched_to_its_end() {
    let fields = r#"{"id":17,"name":"password","value":"x","user":"ann","password":"hunter2","url":"https://u:p@h/?token=a&b=c"},"#;
    let form = "user=ann&password=a%26b&next=https%3A%2F%2Fh%2F%3Ftoken%3Dx&";
    let xml = "<user name=\"ann\"><password>x</password><item key=\"ApiKey\" value=\"y\"/></user>";
    let lines = "DB_PASSWORD=x\napi_key: y\nINFO login token=z Bearer abc1def2\n";
    for (media_type, unit) in [
        ("application/json", fields),
        ("application/x-www-form-urlencoded", form),
        ("text/xml", xml),
        ("text/plain", lines),
    ] {
        let text = text(unit, 16 * 1024);
        let (mut effort, mut edits) = (Effort::for_len(text.len()), Edits::default());
        let room = &mut Room::default();
        search().body(media_type.as_bytes(), &text, room, &mut effort, &mut edits);
        assert!(!effort.is_spent() && !edits.is_empty(), "{media_type}");
    }
}
