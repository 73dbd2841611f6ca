//! Names of services: a program with the port that it serves, so that all processes of one are one,
//! and three servers of one language are three.

use std::sync::Arc;

use hashbrown::HashMap;

use super::shown::{Shown, visible};
use crate::hash::Keyed;
use crate::process::Process;

/// Servers that are remembered: more than a machine has. Beyond it they are learned anew.
const MOST: usize = 4096;

/// Which processes were seen as servers, and of what.
#[derive(Debug, Default)]
pub(super) struct Services(HashMap<u32, Service, Keyed>);

#[derive(Debug)]
struct Service {
    /// Of the process: another one may get its number.
    program: Box<str>,
    name: Arc<str>,
}

impl Services {
    /// Learns from some exchanges who serves what, and says of those who called them what they are.
    pub(super) fn name(&mut self, exchanges: &mut [Shown]) {
        for shown in exchanges.iter() {
            if let Some(process) = shown.server_process() {
                self.learn(process, shown.exchange().peers.server.port());
            }
        }
        for shown in exchanges {
            let client = shown.client_process();
            shown.service = client.and_then(|process| self.of(process)).cloned();
        }
    }

    /// What a process is.
    pub(super) fn of(&self, process: &Process) -> Option<&Arc<str>> {
        let service = self.0.get(&process.pid)?;
        (*service.program == *process.name).then_some(&service.name)
    }

    /// The first port counts.
    fn learn(&mut self, process: &Process, port: u16) {
        if self.of(process).is_some() {
            return;
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        let service = Service {
            program: (*process.name).into(),
            name: name(process, port).into(),
        };
        self.0.insert(process.pid, service);
    }
}

/// A program, and where it is served.
pub(super) fn name(process: &Process, port: u16) -> String {
    let mut text = visible(process.name.as_bytes());
    text.push_str(&format!(":{port}"));
    text
}

#[cfg(test)]
mod tests {
    use super::super::shown::tests::shown;
    use super::super::stats::key_of;
    use super::*;
    use crate::flow::{Peers, Side};
    use crate::tap::sample;

    /// A request of a process to a server's process and port.
    fn call(client: (&str, u32), server: (&str, u32), port: u16) -> Shown {
        let process = |(name, pid): (&str, u32)| {
            let name = name.into();
            Some(Arc::new(Process { pid, name }))
        };
        let mut exchange = sample::exchange();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        exchange.peers = Arc::new(Peers {
            side: Side::Server,
            server: address.into(),
            ..(*exchange.peers).clone()
        });
        let mut shown = shown(&exchange);
        (shown.caller, shown.process) = (process(client), process(server));
        shown
    }

    #[track_caller]
    fn check(services: &mut Services, exchanges: Vec<Shown>, expected: &[(&str, &str)]) {
        let mut exchanges = exchanges;
        services.name(&mut exchanges);
        let keys: Vec<_> = exchanges.iter().map(key_of).collect();
        let found: Vec<_> = (keys.iter())
            .map(|key| (&*key.client, &*key.server))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_service_is_one_whatever_its_processes() {
        let mut services = Services::default();
        // Short-lived clients are one; three servers of one language are three, and a chain of
        // calls is one.
        let calls = vec![
            call(("python3", 11), ("python3", 12), 9302),
            call(("python3", 12), ("python3", 13), 9303),
            call(("curl", 20), ("python3", 11), 9301),
            call(("curl", 21), ("python3", 11), 9301),
        ];
        let expected = [
            ("python3:9301", "python3:9302"),
            ("python3:9302", "python3:9303"),
            ("curl", "python3:9301"),
            ("curl", "python3:9301"),
        ];
        check(&mut services, calls, &expected);
        // Another process with the number of one that was.
        let calls = vec![call(("wget", 11), ("python3", 12), 9302)];
        check(&mut services, calls, &[("wget", "python3:9302")]);
    }
}
