//! What the functions do with their arguments has to be what these functions do.

use super::super::{Doubt, Refusal, Role};
use super::insn::{Op, bit};
use super::interpret::{Arguments, Interpreter, Target, Value};
use super::ranges::Range;
use super::reason;
use super::roles::Roles;
use super::sites::Sites;

/// `SSL_read` and `SSL_write` have some hundred bytes; a function that swallowed others has more.
const MAX_SIZE: u64 = 0x1000;

/// Reasons that `SSL_read` and `SSL_write` report, in one version or another, themselves or in what
/// the compiler made a part of them.
const EXPECTED: [u64; 11] = [
    reason::SHOULD_NOT_HAVE_BEEN_CALLED,
    reason::UNINITIALIZED,
    reason::SSL_HANDSHAKE_FAILURE,
    reason::BAD_LENGTH,
    reason::PROTOCOL_IS_SHUTDOWN,
    reason::CONNECTION_TYPE_NOT_SET,
    182,
    110,
    100,
    223,
    68,
];

const SSL: Option<Value> = Some(Value::Argument(0));
const BUFFER: Option<Value> = Some(Value::Argument(1));
const LENGTH: Option<Value> = Some(Value::Argument(2));

/// The addresses of what is certain.
pub(super) fn confirm(
    interpreter: &mut Interpreter<'_>,
    sites: &Sites,
    roles: Roles,
) -> Result<Vec<(Role, u64)>, Refusal> {
    for range in [roles.read, roles.write] {
        let is_expected = sites
            .reports(range)
            .all(|(reason, _)| EXPECTED.contains(&reason));
        if range.size() > MAX_SIZE || !is_expected {
            return Err(Refusal::Doubtful(Doubt::Shape));
        }
    }
    if !writes(interpreter, roles.write) {
        return Err(Refusal::Doubtful(Doubt::WriteFlow));
    }
    let is_confirmed = match roles.peek {
        Some(peek) => {
            calls(interpreter, roles.read, peek, |arguments| {
                arguments.starts_with(&[SSL, BUFFER, LENGTH])
            }) && reads(interpreter, peek, &roles.read_bodies)
        }
        None => reads(interpreter, roles.read, &roles.read_bodies),
    };
    if !is_confirmed {
        return Err(Refusal::Doubtful(Doubt::ReadFlow));
    }
    // Where the compiler made it a part of others, it is not at one place.
    let handshake = roles.handshake.filter(|handshake| {
        calls(interpreter, roles.write, *handshake, |arguments| {
            arguments.first() == Some(&SSL)
        })
    });
    let optional = [
        (Role::Handshake, handshake),
        (Role::Shutdown, roles.shutdown),
    ];
    let certain = [(Role::Read, roles.read), (Role::Write, roles.write)];
    let optional = optional
        .into_iter()
        .filter_map(|(role, range)| Some((role, range?)));
    Ok(certain
        .into_iter()
        .chain(optional)
        .map(|(role, range)| (role, range.start))
        .collect())
}

/// `method->write_app_data(ssl, …, buf, num)`, through a pointer.
fn writes(interpreter: &Interpreter<'_>, write: Range) -> bool {
    interpreter
        .flow(write)
        .calls
        .iter()
        .any(|(target, passed)| {
            let [ssl, rest @ ..] = passed;
            *target == Target::Indirect
                && *ssl == SSL
                && rest.array_windows().any(|pair| *pair == [BUFFER, LENGTH])
        })
}

/// `ssl_read_impl(ssl)`, called or a part of it, and a copy to the buffer.
fn reads(interpreter: &Interpreter<'_>, read: Range, bodies: &[Range]) -> bool {
    let is_body = |target: &Target| matches!(target, Target::Address(start) if bodies.iter().any(|body| body.start == *start));
    let calls = interpreter.flow(read).calls;
    let has_body = bodies.contains(&read)
        || calls
            .iter()
            .any(|(target, passed)| is_body(target) && passed.first() == Some(&SSL));
    let copies = calls
        .iter()
        .any(|(target, passed)| !is_body(target) && passed.first() == Some(&BUFFER));
    has_body && copies
}

fn calls(
    interpreter: &Interpreter<'_>,
    function: Range,
    called: Range,
    matches: impl Fn(&Arguments) -> bool,
) -> bool {
    let calls = interpreter.flow(function).calls;
    calls
        .iter()
        .any(|(target, passed)| *target == Target::Address(called.start) && matches(passed))
}

/// Some instruction stores through a pointer that is not the stack's.
pub(super) fn stores(interpreter: &Interpreter<'_>, function: Range) -> bool {
    interpreter.listing(function).any(|(_, insn)| insn.stores)
}

/// The function's first call is that one, with the first three arguments untouched.
pub(super) fn passes_arguments(
    interpreter: &Interpreter<'_>,
    function: Range,
    called: Range,
) -> bool {
    let arguments = interpreter.convention.arguments.iter().take(3);
    let mask = arguments.fold(0, |mask, register| mask | bit(*register));
    for (_, insn) in interpreter.listing(function) {
        match insn.op {
            Op::Call(target) => return target == Some(called.start),
            Op::Jump(target) => return target == called.start,
            Op::Return | Op::JumpIndirect => return false,
            _ if insn.writes & mask != 0 => return false,
            _ => {}
        }
    }
    false
}
