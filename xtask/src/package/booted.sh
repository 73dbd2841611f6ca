#!/bin/sh
# What a host's administrator does with the package, each step named on the console.
# `step NAME COMMAND…` says whether the command succeeds, and what it wrote when it does not.
console=/dev/ttyS0
busybox=/trial/busybox
say() { printf '@trial %s\r\n' "$*" >$console; }
step() {
    name=$1
    shift
    if "$@" >/tmp/said 2>&1; then
        say ok "$name"
    else
        say failed "$name"
        sed 's/^/@trial | /' /tmp/said >$console
    fi
}
# The response to a request for this path at this port of 127.0.0.1, if it is a good one.
fetch() {
    bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" || exit 1
        printf "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" "$1" >&3
        read -r version status rest <&3
        cat <&3
        [ "$status" = 200 ]' "$1" "$2"
}
# The telemetry listener responds once the programs are attached.
ready() {
    tries=0
    until fetch 9464 /readyz; do
        tries=$((tries + 1))
        [ $tries -lt 1200 ] && systemctl --quiet is-active meshtap || return 1
        $busybox usleep 100000
    done
}
# A line with this request is in the journal.
shown() {
    tries=0
    until journalctl --unit meshtap --output cat | grep --quiet "hello?$1"; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || return 1
        $busybox usleep 100000
    done
}
property() { systemctl show --property "$1" --value meshtap; }
is() { [ "$(property "$1")" = "$2" ] || { property "$1"; return 1; }; }
# A user that systemd made up for it.
user() { id=$($busybox stat -c %u "/proc/$(property MainPID)"); echo "$id"; [ "$id" -ge 61184 ]; }
# No more than CAP_NET_ADMIN, CAP_PERFMON and CAP_BPF, and no way to get more.
rights() {
    status=/proc/$(property MainPID)/status
    grep -E '^(Cap|NoNewPrivs|Seccomp:)' "$status"
    for set in CapPrm CapEff CapAmb CapBnd; do
        bits=$((0x$(sed -n "s/^$set:[[:space:]]*//p" "$status")))
        [ $((bits & ~0xC000001000)) = 0 ] || return 1
    done
    grep -q '^NoNewPrivs:.*1' "$status" && grep -q '^Seccomp:.*2' "$status"
}
same() { [ "$(property MainPID)" = "$1" ]; }
other() { [ "$(property MainPID)" != "$1" ]; }
clean() { ! journalctl --unit meshtap --output cat | grep -E 'WARN|ERROR|panicked'; }

$busybox ip link set lo up
$busybox httpd -p 127.0.0.1:8080 -h /trial/www
cat >/etc/meshtap/config.yaml <<'END'
export:
  stdout: true
telemetry:
  listen: 127.0.0.1:9464
END
step installed-and-disabled sh -c '! systemctl is-enabled meshtap'
step enable systemctl enable --now meshtap
step ready ready
step user user
step rights rights
fetch 8080 '/hello?one' >/dev/null
step captured shown one
first=$(property MainPID)
step reload systemctl reload meshtap
fetch 8080 '/hello?two' >/dev/null
step captured-after-reload shown two
step same-process same "$first"
step restart systemctl restart meshtap
step ready-again ready
step other-process other "$first"
fetch 8080 '/hello?three' >/dev/null
step captured-after-restart shown three
kill -KILL "$(property MainPID)"
step restarted-after-a-crash sh -c 'n=0; until [ "$(systemctl show --property NRestarts --value meshtap)" = 1 ]; do n=$((n + 1)); [ $n -lt 300 ] || exit 1; sleep 0.1; done'
step ready-after-a-crash ready
fetch 8080 '/hello?four' >/dev/null
step captured-after-a-crash shown four
step stop systemctl stop meshtap
step ended-well is Result success
step silent clean
step check meshtap check
step disable systemctl disable meshtap
step purge dpkg --purge meshtap
journalctl --unit meshtap --output cat --no-pager | sed 's/^/@trial | /' >$console
say end
systemctl poweroff --force --force
