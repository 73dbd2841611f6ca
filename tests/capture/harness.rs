//! The bench itself: what the other tests rest on, tried without `meshtap`.

use std::fs;
use std::net::{Ipv6Addr, SocketAddr};

use meshtap_tests::{
    Apache, Connection, ECHO, HTTP_PORT, Impairment, LossyLink, Netns, Nginx, Pair, PythonServer,
    curl, isolated, socket_states, swarm, url,
};

#[test]
fn a_test_has_a_network_of_its_own() {
    isolated(|_| {
        let devices = fs::read_to_string("/proc/thread-self/net/dev").expect("devices");
        assert_eq!(devices.lines().skip(2).count(), 1, "only lo: {devices}");
        let mut pair = Pair::at(SocketAddr::from((Ipv6Addr::LOCALHOST, HTTP_PORT)));
        pair.request("over ::1");
        pair.respond_slowly("back");
    });
}

#[test]
fn processes_are_in_the_cgroup_of_their_test_or_pod() {
    isolated(|bench| {
        let nginx = Nginx::start(bench, ECHO);
        let pod = bench.cgroup.pod(0xa1);
        let member = pod.inside(|| curl(&["file:///proc/self/cgroup"]));
        let member = String::from_utf8(member).expect("text");
        assert!(member.contains(".scope"), "{member}");
        assert!(pod.id() > 1);
        let server = fs::read_to_string(format!("/proc/{}/cgroup", nginx.daemon.pid()));
        let own = fs::read_to_string("/proc/thread-self/cgroup").expect("own cgroup");
        assert_eq!(server.expect("nginx's cgroup"), own);
        assert!(own.contains("meshtap-tests-"), "{own}");
    });
}

#[test]
fn two_networks_are_joined() {
    isolated(|bench| {
        let other = Netns::new();
        let (own, others) = (["10.1.0.1/24", "fd01::1/64"], ["10.1.0.2/24", "fd01::2/64"]);
        bench.netns.join(&other, own, others);
        let _nginx = Nginx::start(bench, ECHO);
        for host in ["10.1.0.1", "[fd01::1]"] {
            let response = other.inside(|| curl(&[&url(host, "/echo?id=joined")]));
            assert_eq!(response, b"joined");
        }
    });
}

#[test]
fn the_lossy_link_is_lossy_and_tcp_survives_it() {
    isolated(|bench| {
        let other = Netns::new();
        let impairment = Impairment {
            loss: 20,
            reorder: 250,
            duplicate: 10,
        };
        let link = LossyLink::new(
            (&bench.netns, ["10.1.0.1/24", "fd01::1/64"]),
            (&other, ["10.1.0.2/24", "fd01::2/64"]),
            impairment,
            1,
        );
        let _nginx = Nginx::start(bench, ECHO);
        let address = SocketAddr::from(([10, 1, 0, 1], HTTP_PORT));
        let ids = other.inside(|| swarm(address, 8, 50));
        assert_eq!(ids.len(), 400);
        let tally = link.finish();
        let enough = |count: u64, per_mille: u64| count * 1000 > tally.packets * per_mille / 2;
        assert!(enough(tally.lost, impairment.loss), "{tally:?}");
        assert!(enough(tally.reordered, impairment.reorder), "{tally:?}");
        assert!(enough(tally.duplicated, impairment.duplicate), "{tally:?}");
    });
}

#[test]
fn apache_leaves_a_silent_connection_to_its_listener() {
    isolated(|bench| {
        let apache = Apache::start(bench);
        fs::write(apache.root().join("a.txt"), "deferred").expect("a file");
        let mut connection = Connection::open(([127, 0, 0, 1], HTTP_PORT));
        // TCP_DEFER_ACCEPT: the client is connected (01), the server has no socket for it (03,
        // SYN_RECV, at most).
        let accepted = socket_states(HTTP_PORT)
            .filter(|state| state == "01")
            .count();
        assert_eq!(accepted, 0);
        assert_eq!(connection.get("/a.txt").body, b"deferred");
        assert_eq!(curl(&[&url("[::1]", "/a.txt")]), b"deferred");
    });
}

#[test]
fn python_serves() {
    isolated(|bench| {
        let server = PythonServer::start(bench, "127.0.0.1", "HTTP/1.0");
        fs::write(server.root().join("a.txt"), "text").expect("a file");
        assert_eq!(curl(&[&url("127.0.0.1", "/a.txt")]), b"text");
    });
}
