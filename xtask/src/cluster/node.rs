//! The node: namespaces that one process holds, and the processes in them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::{TIMEOUT, logs, until};

/// What Kubernetes calls it.
pub const NAME: &str = "node-a";
/// Its address, on a pair of devices that are both inside.
pub const ADDRESS: &str = "192.168.77.2";

/// What the node's first process does before it waits for the end. The folder of the cluster is
/// `$1`.
///
/// * `/run` and `/var` are the node's own, so that every program keeps its usual paths and the
///   machine's are left alone.
/// * The kubelet wants some kernel settings that are not of a namespace. It is shown files that
///   hold what it wants, so it changes nothing.
const FIRST: &str = r#"
set -eu
mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock "$1/var/lib/cni" "$1/var/log" "$1/var/tmp" "$1/sysctl"
ln -sfn /run "$1/var/run"
mount --bind "$1/var" /var
pretend() {
    if [ -e "/proc/sys/$1" ]; then
        name="$2/$(basename "$1")"
        echo "$3" > "$name"
        mount --bind "$name" "/proc/sys/$1"
    fi
}
pretend vm/overcommit_memory "$1/sysctl" 1
pretend vm/panic_on_oom "$1/sysctl" 0
pretend kernel/panic "$1/sysctl" 10
pretend kernel/panic_on_oops "$1/sysctl" 1
pretend kernel/keys/root_maxkeys "$1/sysctl" 1000000
pretend kernel/keys/root_maxbytes "$1/sysctl" 25000000
ip link set lo up
ip link add eth0 type veth peer name uplink
ip address add 192.168.77.2/24 dev eth0
ip link set uplink up
ip link set eth0 up
ip route add default via 192.168.77.1 dev eth0
echo 1 > /proc/sys/net/ipv4/ip_forward
touch "$1/node.ready"
sleep infinity &
# Also takes leave of every process left in here.
wait
"#;

/// The running node.
#[derive(Debug)]
pub struct Node {
    folder: PathBuf,
    /// Its first process.
    first: Pid,
}

impl Node {
    /// Makes the namespaces.
    ///
    /// # Errors
    /// When that fails; the log says why.
    pub fn start(folder: &Path) -> Result<Self> {
        fs::create_dir_all(logs(folder))?;
        let log = File::create(logs(folder).join("node.log"))?;
        let mut unshare = Command::new("setsid");
        unshare
            .args([
                "unshare",
                "--net",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args(["sh", "-c", FIRST, "sh"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut child = unshare
            .spawn()
            .context("cannot start unshare (util-linux)")?;
        let log = || fs::read_to_string(logs(folder).join("node.log")).unwrap_or_default();
        let mut first = None;
        until("the node has a first process", || {
            if let Some(status) = child.try_wait()? {
                bail!("the node ended: {status}: {}", log());
            }
            first = only_child(child.id());
            Ok(first.is_some())
        })?;
        let first = first.context("unshare has no child")?;
        // At once: whoever interrupts this can end it by that.
        fs::write(folder.join("node.pid"), describe(first)?)?;
        let ready = folder.join("node.ready");
        until("the node's namespaces are there", || {
            if let Some(status) = child.try_wait()? {
                bail!("the node ended: {status}: {}", log());
            }
            Ok(ready.exists())
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            first,
        })
    }

    /// The node that runs in `folder`, if one does.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn running(folder: &Path) -> Result<Option<Self>> {
        let Ok(noted) = fs::read_to_string(folder.join("node.pid")) else {
            return Ok(None);
        };
        let first = noted
            .split_whitespace()
            .next()
            .and_then(|pid| Pid::from_raw(pid.parse().ok()?));
        let first = first.with_context(|| format!("no process id: {noted}"))?;
        // A process id is used again; with its start time it is not.
        let same = describe(first).is_ok_and(|now| now == noted);
        Ok(same.then(|| Self {
            folder: folder.to_owned(),
            first,
        }))
    }

    /// Where it keeps everything.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A program in the node's network, and otherwise on the machine.
    pub fn network(&self, program: &Path) -> Command {
        self.enter(&["--net"], program)
    }

    /// A program in all of the node's namespaces.
    pub fn inside(&self, program: impl AsRef<Path>) -> Command {
        self.enter(&["--net", "--mount", "--pid"], program.as_ref())
    }

    fn enter(&self, namespaces: &[&str], program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.first))
            .args(namespaces)
            .arg("--")
            .arg(program);
        command
    }

    /// Starts a program that goes on when this one has ended. It is known by its name from then on:
    /// `logs/NAME.log`, `pids/NAME`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn daemon(&self, name: &str, program: &Path, arguments: &[String]) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(logs(&self.folder).join(format!("{name}.log")))?;
        let mut command = self.inside("setsid");
        command
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let deadline = Instant::now() + TIMEOUT;
        let pid = loop {
            // nsenter stays outside, and the program is its child.
            if let Some(pid) = only_child(child.id()) {
                break pid;
            }
            if Instant::now() > deadline {
                bail!("{name} does not start");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let pids = self.folder.join("pids");
        fs::create_dir_all(&pids)?;
        // What starts it again needs its words: zero-terminated, as the kernel keeps them.
        let mut words = program.as_os_str().as_encoded_bytes().to_vec();
        for argument in arguments {
            words.push(0);
            words.extend(argument.as_bytes());
        }
        fs::write(pids.join(format!("{name}.command")), words)?;
        let noted = describe(pid).with_context(|| format!("{name} ended at once"))?;
        Ok(fs::write(pids.join(name), noted)?)
    }

    /// Asks a program that [`Self::daemon`] started to end, and waits until it has.
    ///
    /// # Errors
    /// When it does not.
    pub fn end(&self, name: &str) -> Result<()> {
        let noted = fs::read_to_string(self.folder.join("pids").join(name))?;
        let pid = noted
            .split_whitespace()
            .next()
            .and_then(|pid| Pid::from_raw(pid.parse().ok()?));
        let pid = pid.with_context(|| format!("no process id: {noted}"))?;
        let runs = || describe(pid).is_ok_and(|now| now == noted);
        if runs() {
            let _ = kill_process(pid, Signal::TERM);
        }
        until(&format!("{name} has ended"), || Ok(!runs()))
    }

    /// Ends it and everything in it.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(self) -> Result<()> {
        let noted = describe(self.first)?;
        kill_process(self.first, Signal::KILL).context("cannot end the node")?;
        until("the node has ended", || {
            Ok(describe(self.first).ok().as_ref() != Some(&noted))
        })
    }
}

/// A process's id and the time of its start, which name it for good. Fails for one that has ended.
fn describe(pid: Pid) -> Result<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the name in parentheses, and may hold anything; then come the state and,
    // as the 22nd, the start.
    let (_, rest) = stat.rsplit_once(')').context("no such field")?;
    let mut fields = rest.split_whitespace();
    if fields.next() == Some("Z") {
        bail!("it has ended");
    }
    let start = fields.nth(18).context("no such field")?;
    Ok(format!("{pid} {start}"))
}

fn only_child(of: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = Pid::from_raw(std::process::id().cast_signed()).unwrap();
        let noted = describe(own).unwrap();
        assert_eq!(noted, describe(own).unwrap());
        assert!(
            noted
                .split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<u64>()
                .unwrap()
                > 0
        );
        let folder = std::env::temp_dir().join(format!("meshtap-node-{own}"));
        fs::create_dir_all(&folder).unwrap();
        assert!(Node::running(&folder).unwrap().is_none());
        fs::write(folder.join("node.pid"), &noted).unwrap();
        assert!(Node::running(&folder).unwrap().is_some());
        fs::write(folder.join("node.pid"), format!("{own} 1")).unwrap();
        assert!(Node::running(&folder).unwrap().is_none());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_script_gives_the_node_its_address() {
        assert!(FIRST.contains(&format!("address add {ADDRESS}/24")));
    }
}
