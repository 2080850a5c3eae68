#!/usr/bin/env bash
# Captures real traffic of a two-sided edge into examples/edge/wan.pcap and examples/edge/lan.pcap.
#
#   sudo scripts/capture/edge.sh [OUTDIR]
#
#    wan client                    edge (a Linux router)               lan server
#    198.51.100.10-20/24    wan: 198.51.100.1   lan: 10.0.0.1          10.0.0.10/24
#    2001:db8:1::10/64           2001:db8:1::1       2001:db8:2::1     2001:db8:2::10/64
#    203.0.113.66 (blocked)      02:00:00:00:01:01   02:00:00:00:02:01 02:00:00:00:02:10
#    2001:db8:bad::66
#    02:00:00:00:01:10
#
# Each file holds what ARRIVES at that interface of the edge: what an XDP program there is given. The hosts are three
# network namespaces of this script's own, joined by veth pairs; nothing outside them is touched, and all of it goes
# away when the script ends, also when it fails. Checksum and segmentation offloads are off, so that the frames are as
# a wire would carry them: checksums filled in, none above 1514 bytes.
#
# It needs root, iproute2, tcpdump, ping, openssl and python3. What the traffic is: traffic.py, beside it.
# The packets differ in timing, ports and sequence numbers from run to run, the mix does not.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=$(mkdir -p "${1:-$here/../../examples/edge}" && cd "${1:-$here/../../examples/edge}" && pwd)
for tool in ip tcpdump ping openssl python3 sysctl; do
  command -v "$tool" >/dev/null || { echo "edge.sh: needs $tool" >&2; exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "edge.sh: needs root to make network namespaces" >&2; exit 2; }

tmp=$(mktemp -d)
client=ebc$$ edge=ebe$$ server=ebs$$
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for ns in "$client" "$edge" "$server"; do ip netns del "$ns" 2>/dev/null || true; done
  rm -rf "$tmp"
}
trap cleanup EXIT

in_ns() { ip netns exec "$@"; }

for ns in "$client" "$edge" "$server"; do
  ip netns add "$ns"
  in_ns "$ns" sysctl -qw net.ipv4.ping_group_range="0 0"
done
in_ns "$edge" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.icmp_ratelimit=0

ip -n "$client" link add name eth0 address 02:00:00:00:01:10 type veth peer name wan address 02:00:00:00:01:01 netns "$edge"
ip -n "$server" link add name eth0 address 02:00:00:00:02:10 type veth peer name lan address 02:00:00:00:02:01 netns "$edge"
in_ns "$client" python3 "$here/traffic.py" offloads-off eth0
in_ns "$server" python3 "$here/traffic.py" offloads-off eth0
in_ns "$edge" python3 "$here/traffic.py" offloads-off wan lan

# Capturing starts before the links come up: duplicate address detection, router solicitations and MLD are traffic too.
capture() {
  ip netns exec "$edge" tcpdump -i "$1" -Q in -s 0 -U --immediate-mode -B 8192 -n -Z root -w "$tmp/$1.pcap" 2>"$tmp/$1.log" &
  pids+=($!)
  for _ in $(seq 100); do grep -q "listening on" "$tmp/$1.log" && return; sleep 0.05; done
  echo "edge.sh: tcpdump did not start: $(cat "$tmp/$1.log")" >&2; exit 1
}
ip -n "$edge" link set wan up
ip -n "$edge" link set lan up
capture wan
capture lan
ip -n "$client" link set lo up
ip -n "$server" link set lo up
ip -n "$client" link set eth0 up
ip -n "$server" link set eth0 up

ip -n "$edge" addr add 198.51.100.1/24 dev wan
ip -n "$edge" addr add 2001:db8:1::1/64 dev wan nodad
ip -n "$edge" addr add 10.0.0.1/24 dev lan
ip -n "$edge" addr add 2001:db8:2::1/64 dev lan nodad
ip -n "$edge" route add 203.0.113.0/24 via 198.51.100.10
ip -n "$edge" route add 2001:db8:bad::/64 via 2001:db8:1::10
ip -n "$client" addr add 198.51.100.10/24 dev eth0
for n in $(seq 11 20); do ip -n "$client" addr add "198.51.100.$n/24" dev eth0; done
ip -n "$client" addr add 203.0.113.66/32 dev eth0
ip -n "$client" addr add 2001:db8:1::10/64 dev eth0
ip -n "$client" addr add 2001:db8:bad::66/128 dev eth0 nodad
ip -n "$client" route add default via 198.51.100.1
ip -n "$client" route add default via 2001:db8:1::1
ip -n "$server" addr add 10.0.0.10/24 dev eth0
ip -n "$server" addr add 2001:db8:2::10/64 dev eth0
ip -n "$server" route add default via 10.0.0.1
ip -n "$server" route add default via 2001:db8:2::1

openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=server.example \
  -keyout "$tmp/tls.pem" -out "$tmp/tls.crt" 2>/dev/null
cat "$tmp/tls.crt" >>"$tmp/tls.pem"
sleep 2.5 # addresses stop being tentative
ip netns exec "$server" python3 "$here/traffic.py" server "$tmp/tls.pem" >"$tmp/server.log" 2>&1 &
pids+=($!)
for _ in $(seq 100); do grep -q ready "$tmp/server.log" && break; sleep 0.05; done
grep -q ready "$tmp/server.log" || { echo "edge.sh: server: $(cat "$tmp/server.log")" >&2; exit 1; }

timeout 120 ip netns exec "$client" python3 "$here/traffic.py" client
in_ns "$client" python3 "$here/traffic.py" frames-wan eth0
in_ns "$server" python3 "$here/traffic.py" frames-lan eth0
sleep 0.5

for pid in "${pids[@]:0:2}"; do kill "$pid" && wait "$pid" || true; done
for side in wan lan; do
  grep -q "^0 packets dropped by kernel" "$tmp/$side.log" || { echo "edge.sh: $side lost packets: $(cat "$tmp/$side.log")" >&2; exit 1; }
  cp "$tmp/$side.pcap" "$out/$side.pcap"
done
python3 "$here/traffic.py" summary "$out/wan.pcap" "$out/lan.pcap"
