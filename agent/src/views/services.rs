//! Names of services: a program with the port that it serves, so that all processes of one are one,
//! and three servers of one language are three.

use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;

use super::shown::{Shown, visible};
use crate::flow::{CgroupId, Endpoint, Side};
use crate::hash::Keyed;
use crate::process::Process;

/// Processes that are remembered: more than a machine has servers. Beyond it those go that were
/// clients alone.
const MOST: usize = 4096;

/// The name of a service: empty until it is known. All exchanges of one have the same, so that
/// those from before then have the name, too.
#[derive(Clone, Debug, Default)]
pub struct Service(Arc<OnceLock<Arc<str>>>);

impl Service {
    /// The name, once it is known.
    #[must_use]
    pub fn name(&self) -> Option<&Arc<str>> {
        self.0.get()
    }

    /// Whether it is that of the same process.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Which processes were seen, and as servers of what.
#[derive(Debug, Default)]
pub(super) struct Services {
    processes: HashMap<u32, Seen, Keyed>,
    /// What is served where. A socket that was closed before its process was found is one of the
    /// same service as the others there.
    places: HashMap<Place, Service, Keyed>,
}

/// The cgroup of a server's sockets, and their address.
type Place = (CgroupId, Endpoint);

#[derive(Debug)]
struct Seen {
    /// Of the process: another one may get its number.
    program: Box<str>,
    service: Service,
}

impl Services {
    /// Learns from some exchanges who serves what, and says of those who called them what they are;
    /// whether a client from before has a name now.
    pub(super) fn name(&mut self, exchanges: &mut [Shown]) -> bool {
        let mut is_known = false;
        for shown in exchanges.iter() {
            if let Some(process) = shown.server_process() {
                is_known |= self.learn(process, shown);
            }
        }
        for shown in exchanges {
            shown.service = shown.client_process().map(|process| self.of(process).1);
            let is_served = shown.exchange().peers.side == Side::Server;
            let is_nameless = is_served && shown.server_process().is_none();
            shown.place = is_nameless.then(|| self.place(shown).1);
        }
        is_known
    }

    /// That of a server's socket; whether it was seen before.
    fn place(&mut self, shown: &Shown) -> (bool, Service) {
        let peers = &shown.exchange().peers;
        let place = (peers.cgroup, peers.server);
        if let Some(service) = self.places.get(&place) {
            return (true, service.clone());
        }
        if self.places.len() >= MOST {
            self.places.clear();
        }
        let service = Service::default();
        self.places.insert(place, service.clone());
        (false, service)
    }

    /// That of a process; whether the process was seen before.
    fn of(&mut self, process: &Process) -> (bool, Service) {
        if let Some(seen) = self.processes.get(&process.pid)
            && *seen.program == *process.name
        {
            return (true, seen.service.clone());
        }
        if self.processes.len() >= MOST {
            (self.processes).retain(|_, seen| seen.service.name().is_some());
        }
        if self.processes.len() >= MOST {
            self.processes.clear();
        }
        let service = Service::default();
        let seen = Seen {
            program: (*process.name).into(),
            service: service.clone(),
        };
        self.processes.insert(process.pid, seen);
        (false, service)
    }

    /// The first port of a process counts. Whether something from before has a name now.
    fn learn(&mut self, process: &Process, shown: &Shown) -> bool {
        let (of_process, at_place) = (self.of(process), self.place(shown));
        let mut is_known = false;
        for (was_seen, service) in [of_process, at_place] {
            if service.name().is_none() {
                let port = shown.exchange().peers.server.port();
                let is_first = service.0.set(name(process, port).into()).is_ok();
                is_known |= was_seen && is_first;
            }
        }
        is_known
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
    use crate::flow::Peers;
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

    #[test]
    fn a_name_is_that_of_earlier_calls_too() {
        let mut services = Services::default();
        let mut early = vec![call(("python3", 11), ("python3", 12), 9302)];
        assert!(!services.name(&mut early));
        assert_eq!(&*key_of(&early[0]).client, "python3");
        let mut late = vec![call(("curl", 20), ("python3", 11), 9301)];
        assert!(services.name(&mut late));
        assert_eq!(&*key_of(&early[0]).client, "python3:9301");
    }

    #[test]
    fn a_socket_without_a_process_is_of_those_beside_it() {
        let mut services = Services::default();
        let nameless = || {
            let mut shown = call(("curl", 20), ("shop", 11), 9301);
            shown.process = None;
            shown
        };
        let mut early = vec![nameless()];
        assert!(!services.name(&mut early));
        assert_eq!(&*key_of(&early[0]).server, "127.0.0.1:9301");
        let mut known = vec![call(("curl", 21), ("shop", 11), 9301)];
        assert!(services.name(&mut known));
        assert_eq!(&*key_of(&early[0]).server, "shop:9301");
        check(&mut services, vec![nameless()], &[("curl", "shop:9301")]);
        // Another network's address.
        let mut elsewhere = nameless();
        let mut exchange = elsewhere.exchange().clone();
        Arc::make_mut(&mut exchange.peers).cgroup = CgroupId(77);
        elsewhere.sanitized = sample::sanitized(&exchange);
        check(
            &mut services,
            vec![elsewhere],
            &[("curl", "127.0.0.1:9301")],
        );
    }

    #[test]
    fn short_lived_clients_displace_no_server() {
        let mut services = Services::default();
        for pid in 100..100 + 3 * u32::try_from(MOST).expect("a number") {
            services.name(&mut [call(("curl", pid), ("shop", 7), 80)]);
            assert!(services.processes.len() <= MOST);
        }
        check(
            &mut services,
            vec![call(("shop", 7), ("bank", 8), 81)],
            &[("shop:80", "bank:81")],
        );
    }
}
