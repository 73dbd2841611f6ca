#!/bin/busybox sh
# First process of the kernel matrix: brings the machine up just far enough to capture five
# exchanges, and says what it saw on the console in lines that start with "@vm".
busybox=/bin/busybox
$busybox mkdir -p /proc /sys /dev /tmp /bin
$busybox mount -t proc proc /proc
$busybox mount -t sysfs sysfs /sys
$busybox mount -t devtmpfs devtmpfs /dev
$busybox mount -t tmpfs tmpfs /tmp
$busybox mount -t cgroup2 cgroup2 /sys/fs/cgroup
$busybox --install -s /bin
export PATH=/bin
say() { echo "@vm $*"; }
say kernel "$(uname -r)"
ip link set lo up

httpd -p '[::]:8080' -h /www
/bin/meshtap tap --json --side server --tls off --port 8080 --port 8081 --port 8082 --count 3 --duration 800s </dev/null >/tmp/out 2>/tmp/err &
agent=$!

# Programs are attached before they are given their configuration: nothing is seen in between.
tries=0
while ! grep -q 'capturing in' /tmp/err && [ $tries -lt 1800 ] && kill -0 $agent 2>/dev/null; do
    tries=$((tries + 1))
    usleep 100000
done

# The kernel's own word on what is attached: one fdinfo of the agent per link.
links() { grep -hE '^(link_type|attach_type):' /proc/$agent/fdinfo/* 2>/dev/null; }
links | sed 's/^/@vm /'

if kill -0 $agent 2>/dev/null; then
    wget -q -O /tmp/body 'http://127.0.0.1:8080/hello?from=vm'; say wget $? "$(cat /tmp/body)"
    wget -q -O /dev/null 'http://[::1]:8080/absent' 2>/dev/null; say wget $?
    flood; say flood $?
fi
wait $agent; say exit $?
sed 's/^/@vm json /' /tmp/out
sed 's/^/@vm stderr /' /tmp/err

# Reads the server at port $1, once `$2` is in what it says that it reads; one request.
through_tls() {
    /bin/meshtap tap --json --side server --tls auto --port "$1" --count 1 --duration 800s </dev/null >/tmp/out 2>/tmp/err &
    agent=$!
    tries=0
    while ! grep -q "TLS: .*reading [^ ]*$2" /tmp/err && [ $tries -lt 6000 ] && kill -0 $agent 2>/dev/null; do
        tries=$((tries + 1))
        usleep 100000
    done
    printf 'GET /hello HTTP/1.%s\r\nhost: vm\r\nconnection: close\r\n\r\n' "$3" |
        openssl s_client -quiet -connect "127.0.0.1:$1" >/tmp/body 2>/tmp/client
    say s_client $? "$(tail -n 1 /tmp/body)"
    wait $agent; say exit $?
    sed 's/^/@vm json /' /tmp/out
    sed 's/^/@vm stderr /' /tmp/err
    sed 's/^/@vm server /' /tmp/server
    sed 's/^/@vm client /' /tmp/client
}

# Both ends are programs of OpenSSL's, with its shared library.
cd /www
openssl s_server -quiet -WWW -accept 8443 -cert /tls/cert.pem -key /tls/key.pem >/tmp/server 2>&1 &
through_tls 8443 libssl 0
kill $!

# A stripped Envoy, which has its own TLS library inside.
envoy --disable-hot-restart --concurrency 1 --log-level warn -c /tls/envoy.yaml >/tmp/server 2>&1 &
envoy=$!
tries=0
# 8444 in hexadecimal, and LISTEN (proc_pid_net(5)).
while ! grep -q ':20FC .* 0A ' /proc/net/tcp && [ $tries -lt 3000 ] && kill -0 $envoy 2>/dev/null; do
    tries=$((tries + 1))
    usleep 100000
done
through_tls 8444 envoy 1
say end
poweroff -f
