//! The work is linear: twice the text costs at most two and a half times the steps, and no text
//! costs more than the effort allows, whatever it is made of and whatever it is called.

use super::document::Room;
use super::edit::Edits;
use super::effort::Effort;
use super::fixture::search;
use super::query;

/// Texts of one size and of twice that.
const SIZES: [usize; 2] = [3 * 1024, 6 * 1024];

/// More than this, and steps at all are not counted but a constant.
const BASE: u64 = 2048;

const MEDIA_TYPES: [&str; 8] = [
    "application/json",
    "application/x-www-form-urlencoded",
    "text/xml",
    "text/html",
    "multipart/form-data; boundary=b",
    "application/graphql",
    "text/csv",
    "text/plain",
];

/// What scanners stop at, look back from, and look ahead from: alone and as often as it fits.
const UNITS: [&str; 151] = [
    "\\",
    "\"",
    "\\\"",
    "\\\\\"",
    "\":",
    "\\\":",
    "{\"",
    "[[",
    "[[\"",
    "{",
    "}",
    ":",
    "::",
    ": ",
    "'",
    "':",
    "\"a\":",
    "\"token\":[",
    "\"token\":{",
    "\"password\":\"",
    "\"password\":\"x\",",
    "\"password\":1,",
    "\"password\":\\",
    "\"tokens\":[1,",
    "\"name\":\"password\",",
    "\"name\":\"password\",\"a\":\"",
    "\"value\":1,\"name\":\"pin\",",
    "\"k\":\"token\",\"v\":{",
    "[\"token\",\"x\"],",
    "[[\"token\",",
    "\"kind\":\"Secret\",",
    "\"data\":{",
    "\"code\":\"",
    "\"grant_type\":\"\",\"code\":\"",
    "\\u0070",
    "\\u0022",
    "token: \"\"\"",
    "\"\"\"",
    "state=a&",
    "state=",
    "nonce=a&code=",
    "key=",
    "code=a&",
    "a=b=",
    "=",
    "&",
    "%",
    "%3D",
    "%3d%3D",
    "%25",
    "%2525",
    "%26",
    "%70",
    "%22token%22%3A",
    "a%3Dtoken%3D",
    "f={\"a\":",
    "token=",
    "token=&",
    "//",
    "://",
    "://u:p@",
    "https%3A%2F%2F",
    "a@",
    "<",
    "<a",
    "</a",
    "<a ",
    "<a b",
    "<a b=\"",
    "<!--",
    "<![CDATA[",
    "<?",
    "<password",
    "<password>",
    "</password>",
    "<name>password</name>",
    "<a name=\"password\" ",
    "--b",
    "--b\r\n",
    "--b\r\n\r\n",
    "--b\nname=\"",
    "\n--",
    "pass",
    "key ",
    "api key ",
    "password ",
    "password: ",
    "password:\n ",
    "password=x\n",
    "Bearer abc1def2 ",
    "--token ",
    "a,password\n",
    "/*",
    "//",
    "*/",
    "*/:",
    "a:/*",
    "\"a\":/*",
    "\"a\"/*x*/:",
    "\n//\n:",
    "\"v\":[",
    "],\"k\":\"pin\",",
    "\"v\":[1],\"k\":\"pin\",",
    "\"a\":{},\"k\":\"pin\",",
    "[{}],\"id\":\"pin\",\"k\":\"pin\",",
    "'a':'",
    "'password':'",
    "password: 'a ",
    "password: 'a\",",
    "'password':'a'b",
    "'password':b'",
    "'password':A(",
    "'name':'pin',",
    "{name: pin, ",
    "password: |\n",
    "password: |\n ",
    "password: x\n ",
    "password: \"x\n",
    "password: \"x\n ",
    "password=x\\\n",
    "password = [\n",
    "password=(",
    "password=\"a\"+",
    "password=Some(",
    "password: a = ",
    "name: pin\n",
    "name: pin\nid: pin\n",
    "value: x\n",
    "value: x\nname: pin\n",
    "- name: pin\n ",
    "name=pin&",
    "value=x&",
    "name=pin&value=x&",
    "a[name]=pin&",
    "a%5Bname%5D=pin&",
    "<value>",
    "<value>x</value>",
    "<value>x</value><name>pin</name>",
    "<name>",
    "(\"pin\",",
    "pin(\"",
    ":pin \"",
    "pin\";s:1:\"",
    ":\\\\",
    "http:\\\\",
    "u:p@tcp(",
    "token = `",
    "{a: 1, password: x ",
    "{\"pin\",",
    "\"token\\n\"",
    "\"password: |\\n",
];

/// The same for what is recognised by its form.
const FORMS: [&str; 20] = [
    "eyJ",
    "eyJ ",
    "eyJa.",
    "eyJ.eyJ",
    "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----",
    "-----END ",
    "ghp_",
    "xoxb-",
    "axoxb-",
    "sk-",
    "key-",
    "hvs.",
    "/webhooks/",
    "4",
    "4 ",
    "4-",
    "4111 1111 1111 1111 ",
    ":aa",
    "1//0",
];

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
    for first in [
        "\"token\":[",
        "\"token\":\"",
        "<password>",
        "token=",
        "token:\n ",
        "--b\r\n",
        "{\"a\":\"",
        "password=(",
        "password: \"",
        "password: |\n ",
        "'password':'",
        "<value>",
        "{\"v\":[",
        "\"a: pin\\n",
    ] {
        for unit in [
            "\\",
            "\"",
            "[",
            "%",
            "%3D",
            "<",
            "\n ",
            "--b",
            "a",
            "password ",
            ":",
        ] {
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
