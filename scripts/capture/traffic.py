"""
The traffic of examples/edge/*.pcap; edge.sh runs each role in a namespace of its own.

  offloads-off IFACE...   no checksum, segmentation or receive offload, by the ethtool ioctl
  server PEM              HTTP on 80, TLS on 443, a banner on 22, echo on 8080, DNS-like answers on 53, QUIC-like on 443/udp
  client                  pings, DNS-like queries, downloads, port scans, from good and from blocked sources
  frames-wan IFACE        hand-made frames from the wan side: tagged, tunnelled, fragmented, malformed
  frames-lan IFACE        their counterparts from the lan side
  summary FILE...         counts, and refuses a frame above 1514 bytes or a capture that is too small
"""

import ctypes
import fcntl
import os
import random
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

CLIENT4, BLOCKED4, EDGE4, SERVER4 = "198.51.100.10", "203.0.113.66", "198.51.100.1", "10.0.0.10"
CLIENT6, BLOCKED6, EDGE6, SERVER6 = "2001:db8:1::10", "2001:db8:bad::66", "2001:db8:1::1", "2001:db8:2::10"
CLIENT_MAC, WAN_MAC = bytes.fromhex("020000000110"), bytes.fromhex("020000000101")
SERVER_MAC, LAN_MAC = bytes.fromhex("020000000210"), bytes.fromhex("020000000201")
BROADCAST = b"\xff" * 6

# ------------------------------------------------------------------------------------------------ offloads


def offloads_off(names):
    """ETHTOOL_STXCSUM, STSO, SGSO, SGRO, SSG and SRXCSUM to 0 through SIOCETHTOOL (linux/ethtool.h)."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for name in names:
        for command in (0x1F, 0x24, 0x2C, 0x17, 0x19, 0x15):
            value = bytearray(struct.pack("II", command, 0))
            buffer = (ctypes.c_char * 8).from_buffer(value)
            request = struct.pack("16sQ16x", name.encode(), ctypes.addressof(buffer))
            try:
                fcntl.ioctl(sock, 0x8946, request)
            except OSError as error:
                # Without tx checksums the kernel has already switched sg and tso off and may refuse to hear it again.
                if command in (0x17, 0x1F, 0x24, 0x2C):
                    raise SystemExit(f"{name}: ethtool {command:#x}: {error}")


# ------------------------------------------------------------------------------------------------ server

PAGE = b"".join(b"%06d the quick brown fox jumps over the lazy dog, again and again and again\n" % n for n in range(20000))


def serve_tcp(port, handler, context=None):
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", port))
    listener.listen(64)

    def one(conn):
        try:
            with conn if context is None else context.wrap_socket(conn, server_side=True) as stream:
                handler(stream)
        except OSError:
            pass  # a client that goes away in the middle is part of the traffic

    def loop():
        while True:
            conn, _ = listener.accept()
            threading.Thread(target=one, args=(conn,), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()


def http(stream):
    """`GET /N` answers N bytes of text."""
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            more = stream.recv(4096)
            if not more:
                return
            data += more
        head, data = data.split(b"\r\n\r\n", 1)
        path = head.split(b" ")[1].lstrip(b"/")
        body = PAGE[: int(path)] if path.isdigit() else b"hello\n"
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def banner(stream):
    stream.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
    stream.recv(256)


def echo(stream):
    while data := stream.recv(2048):
        stream.sendall(data)


def dns_answer(query):
    """None without a question; else by the first label: a* A, b* AAAA, big TXT of 3,000 bytes, all others NXDOMAIN."""
    if len(query) < 17:
        return None
    (ident,) = struct.unpack_from("!H", query)
    label = query[13 : 13 + query[12]]
    question = query[12:]
    name = b"\xc0\x0c"
    if label.startswith(b"big"):
        text = b"".join(bytes([250]) + (b"%03d" % n) * 83 + b"." for n in range(12))
        answer, code = name + struct.pack("!HHIH", 16, 1, 60, len(text)) + text, 0
    elif label.startswith(b"a"):
        answer, code = name + struct.pack("!HHIH", 1, 1, 300, 4) + socket.inet_aton(SERVER4), 0
    elif label.startswith(b"b"):
        answer, code = name + struct.pack("!HHIH", 28, 1, 300, 16) + socket.inet_pton(socket.AF_INET6, SERVER6), 0
    else:
        answer, code = b"", 3
    return struct.pack("!HHHHHH", ident, 0x8180 | code, 1, 1 if answer else 0, 0, 0) + question + answer


def serve_udp(port, answer):
    for family, address in ((socket.AF_INET, SERVER4), (socket.AF_INET6, SERVER6)):
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.bind((address, port))

        def loop(sock=sock):
            while True:
                data, peer = sock.recvfrom(65535)
                reply = answer(data)
                if reply:
                    sock.sendto(reply, peer)

        threading.Thread(target=loop, daemon=True).start()


def server(pem):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    serve_tcp(80, http)
    serve_tcp(443, http, context)
    serve_tcp(22, banner)
    serve_tcp(8080, echo)
    serve_udp(53, dns_answer)
    serve_udp(443, lambda data: b"\x40" + data[6:14] + bytes(32) if data[0] & 0x80 else None)
    print("ready", flush=True)
    threading.Event().wait()


# ------------------------------------------------------------------------------------------------ client


def run(*command):
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30)


def ping(to, count, size=56, *more):
    run("ping", "-n", "-q", "-i", "0.02", "-c", str(count), "-s", str(size), "-W", "1", *more, to)


def dns_query(ident, name):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    kind = {"a": 1, "b": 28}.get(name[0], 1) if not name.startswith("big") else 16
    return struct.pack("!HHHHHH", ident, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def resolve(to, source, names):
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    for ident, name in enumerate(names):
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((source, 0))
            sock.settimeout(1)
            sock.sendto(dns_query(0x1000 + ident, name), (to, 53))
            try:
                sock.recv(65535)
            except OSError:
                pass


def connect(to, port, source=None, timeout=1.0):
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    if source:
        sock.bind((source, 0))
    try:
        sock.connect((to, port))
        return sock
    except OSError:
        sock.close()
        return None


def download(to, size, port=80, context=None):
    sock = connect(to, port)
    stream = context.wrap_socket(sock, server_hostname="server.example") if context else sock
    with stream:
        stream.settimeout(5)
        stream.sendall(b"GET /%d HTTP/1.1\r\nHost: server.example\r\n\r\n" % size)
        got = 0
        while got < size:
            # Without delayed ACKs: a capture at a busy edge has one for about every two segments.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1) if stream is sock else None
            data = stream.recv(2896)
            if not data:
                raise SystemExit(f"download from {to}:{port} ended at {got} of {size}")
            got += len(data)


def talk(to, messages, source=None):
    sock = connect(to, 8080, source)
    if not sock:
        raise SystemExit(f"no answer from {to}:8080")
    with sock:
        for n in range(messages):
            sock.sendall(b"message %d\n" % n)
            sock.recv(2048)


def ssh(to, source=None):
    sock = connect(to, 22, source)
    if sock:
        with sock:
            sock.recv(256)
            sock.sendall(b"SSH-2.0-probe\r\n")


def udp_probe(to, port, payload, source):
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.connect((to, port))
        sock.settimeout(0.2)
        try:
            sock.send(payload)
            sock.recv(2048)
        except OSError:
            pass


def client():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    names = [f"{kind}{n}.example.org" for n in range(40) for kind in "abx"]

    def together(*jobs):
        threads = [threading.Thread(target=job) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    together(lambda: ping(SERVER4, 30), lambda: ping(SERVER6, 30))
    ping(EDGE4, 3)
    ping(EDGE6, 3)
    together(
        lambda: download(SERVER4, 900_000),
        lambda: resolve(SERVER4, CLIENT4, names),
        lambda: ping(SERVER4, 20, 1000),
    )
    together(
        lambda: download(SERVER6, 250_000),
        lambda: resolve(SERVER6, CLIENT6, names),
        lambda: talk(SERVER4, 90),
    )
    together(
        lambda: download(SERVER4, 20_000, 443, context),
        lambda: download(SERVER6, 20_000, 443, context),
        lambda: talk(SERVER6, 60),
    )
    together(*(lambda n=n: talk(SERVER4, 20, f"198.51.100.{n}") for n in range(11, 21)))
    resolve(SERVER4, CLIENT4, ["big1.example.org", "big2.example.org"])  # answers come as fragments
    resolve(SERVER6, CLIENT6, ["big1.example.org", "big2.example.org"])
    ping(SERVER4, 3, 4000)  # requests and answers in fragments
    ping(SERVER6, 3, 4000)
    ping(SERVER4, 2, 56, "-t", "1")  # the edge answers time exceeded
    ping(SERVER6, 2, 56, "-t", "1")
    ping(SERVER4, 2, 56, "-R")  # record route: IPv4 options
    for to in (SERVER4, SERVER6):
        ssh(to)
    # What the rules are for: a blocked source, and a scan of ports that nobody serves.
    ssh(SERVER4, BLOCKED4)
    ssh(SERVER6, BLOCKED6)
    ping(SERVER4, 5, 56, "-I", BLOCKED4)
    ping(SERVER6, 5, 56, "-I", BLOCKED6)
    resolve(SERVER4, BLOCKED4, names[:12])
    talk(SERVER4, 5, BLOCKED4)
    for port in (21, 23, 25, 110, 135, 139, 143, 445, 1433, 3306, 3389, 5432, 5900, 6379, 8443, 9200, 27017):
        connect(SERVER4, port)
        connect(SERVER6, port)
    for port in (19, 69, 111, 123, 137, 161, 389, 1900, 5353, 11211):
        udp_probe(SERVER4, port, b"\0" * 48, CLIENT4)
        udp_probe(SERVER6, port, b"\0" * 48, CLIENT6)
    quic = random.Random(443)
    for to, source in ((SERVER4, CLIENT4), (SERVER6, CLIENT6)):
        for _ in range(5):
            initial = b"\xc3\0\0\0\x01\x08" + quic.randbytes(8) + b"\0\0" + struct.pack("!H", 0x4000 | 1180)
            udp_probe(to, 443, initial + quic.randbytes(1180), source)


# ------------------------------------------------------------------------------------------------ hand-made frames


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ether(dst, src, kind, payload):
    return dst + src + struct.pack("!H", kind) + payload


def vlan(tci, kind, payload):
    return struct.pack("!HH", tci, kind) + payload


def ip4(src, dst, proto, payload, ident=0, flags=0x4000, ttl=64, options=b"", version_ihl=None, total=None, tos=0):
    ihl = 5 + len(options) // 4
    head = struct.pack(
        "!BBHHHBBH4s4s",
        (0x40 | ihl) if version_ihl is None else version_ihl,
        tos,
        (ihl * 4 + len(payload)) if total is None else total,
        ident,
        flags,
        ttl,
        proto,
        0,
        socket.inet_aton(src),
        socket.inet_aton(dst),
    )
    head += options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ip6(src, dst, proto, payload, hop=64, length=None):
    return (
        struct.pack("!IHBB", 6 << 28, len(payload) if length is None else length, proto, hop)
        + socket.inet_pton(socket.AF_INET6, src)
        + socket.inet_pton(socket.AF_INET6, dst)
        + payload
    )


def pseudo(src, dst, proto, length):
    if ":" in src:
        pack = lambda a: socket.inet_pton(socket.AF_INET6, a)  # noqa: E731
        return pack(src) + pack(dst) + struct.pack("!II", length, proto)
    return socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack("!BBH", 0, proto, length)


def udp(src, dst, sport, dport, payload, length=None):
    size = 8 + len(payload)
    data = struct.pack("!HHHH", sport, dport, size if length is None else length, 0) + payload
    value = checksum(pseudo(src, dst, 17, size) + data) or 0xFFFF
    return data[:6] + struct.pack("!H", value) + payload


def tcp(src, dst, sport, dport, seq, ack, flags, payload=b"", options=b"", offset=None, window=65535):
    words = 5 + len(options) // 4 if offset is None else offset
    data = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, words << 4, flags, window, 0, 0) + options + payload
    value = checksum(pseudo(src, dst, 6, len(data)) + data)
    return data[:16] + struct.pack("!H", value) + data[18:]


def icmp(kind, code, rest):
    data = struct.pack("!BBH", kind, code, 0) + rest
    return data[:2] + struct.pack("!H", checksum(data)) + data[4:]


def icmp6(src, dst, kind, code, rest):
    data = struct.pack("!BBH", kind, code, 0) + rest
    value = checksum(pseudo(src, dst, 58, len(data)) + data)
    return data[:2] + struct.pack("!H", value) + data[4:]


SYN, ACK, PSH, FIN, RST = 0x02, 0x10, 0x08, 0x01, 0x04
MSS = b"\x02\x04\x05\xb4\x04\x02\x08\x0a\0\0\0\x01\0\0\0\0\x01\x03\x03\x07"


def tagged_flow(ours):
    """A TCP exchange, pings and DNS-like queries between 192.0.2.10 (wan) and 192.0.2.20 (lan) in VLAN 100."""
    a, b = "192.0.2.10", "192.0.2.20"
    request = b"GET /tagged HTTP/1.1\r\nHost: server.example\r\n\r\n"
    body = PAGE[:1200]
    exchange = [
        (a, 1000, 0, SYN, b"", MSS),
        (b, 5000, 1001, SYN | ACK, b"", MSS),
        (a, 1001, 5001, ACK, b"", b""),
        (a, 1001, 5001, PSH | ACK, request, b""),
        (b, 5001, 1001 + len(request), ACK, b"", b""),
        (b, 5001, 1001 + len(request), PSH | ACK, body, b""),
        (a, 1001 + len(request), 5001 + len(body), ACK, b"", b""),
        (a, 1001 + len(request), 5001 + len(body), FIN | ACK, b"", b""),
        (b, 5001 + len(body), 1002 + len(request), FIN | ACK, b"", b""),
        (a, 1002 + len(request), 5002 + len(body), ACK, b"", b""),
    ]
    dst, src = (WAN_MAC, CLIENT_MAC) if ours == a else (LAN_MAC, SERVER_MAC)
    other = b if ours == a else a
    for n, (sender, seq, ack, flags, payload, options) in enumerate(exchange):
        if sender == ours:
            ports = (40100, 80) if ours == a else (80, 40100)
            segment = tcp(ours, other, *ports, seq, ack, flags, payload, options)
            yield ether(dst, src, 0x8100, vlan(100, 0x0800, ip4(ours, other, 6, segment, ident=n)))
    for n in range(10):
        message = icmp(8 if ours == a else 0, 0, struct.pack("!HH", 77, n) + bytes(range(48)))
        yield ether(dst, src, 0x8100, vlan((5 << 13) | 100, 0x0800, ip4(ours, other, 1, message, ident=100 + n)))
    for n in range(10):
        query = dns_query(n, f"a{n}.vlan.example")
        data, ports = (query, (41000 + n, 53)) if ours == a else (dns_answer(query), (53, 41000 + n))
        yield ether(dst, src, 0x8100, vlan(100, 0x0800, ip4(ours, other, 17, udp(ours, other, *ports, data), ident=200 + n)))
    # The same in a provider's tag (802.1ad) outside the customer's, and over IPv6.
    ours6, other6 = ("2001:db8:64::10", "2001:db8:64::20") if ours == a else ("2001:db8:64::20", "2001:db8:64::10")
    for n in range(5):
        message = icmp6(ours6, other6, 128 if ours == a else 129, 0, struct.pack("!HH", 78, n) + bytes(range(48)))
        inner = ip6(ours6, other6, 58, message)
        yield ether(dst, src, 0x88A8, vlan(200, 0x8100, vlan(100, 0x86DD, inner)))


def tunnelled():
    """One inner packet inside each of the tunnels that an edge meets."""
    inner = ip4("192.168.1.1", "192.168.2.2", 1, icmp(8, 0, struct.pack("!HH", 9, 1) + bytes(range(32))))
    inner_frame = ether(bytes.fromhex("0a0000000002"), bytes.fromhex("0a0000000001"), 0x0800, inner)
    up = lambda kind, payload: ether(WAN_MAC, CLIENT_MAC, kind, payload)  # noqa: E731
    over = lambda proto, payload: up(0x0800, ip4(CLIENT4, EDGE4, proto, payload))  # noqa: E731
    over_udp = lambda port, payload: over(17, udp(CLIENT4, EDGE4, 50000, port, payload))  # noqa: E731
    yield over(4, inner)  # IPIP
    yield over(47, struct.pack("!HH", 0, 0x0800) + inner)  # GRE
    yield over(47, struct.pack("!HHII", 0x3000, 0x6558, 7, 1) + inner_frame)  # GRE with key and sequence, Ethernet inside
    yield over_udp(4789, struct.pack("!II", 0x08000000, 42 << 8) + inner_frame)  # VXLAN
    yield over_udp(6081, struct.pack("!BBHI", 0x02, 0, 0x6558, 42 << 8) + struct.pack("!HBBI", 0x0102, 0x01, 1, 5) + inner_frame)
    yield over_udp(6080, struct.pack("!BBH", 0, 4, 0) + inner)  # GUE
    yield up(0x8847, struct.pack("!II", (16 << 12) | 64, (17 << 12) | 0x100 | 64) + inner)  # MPLS, two labels
    yield up(0x8864, struct.pack("!BBHHH", 0x11, 0, 7, len(inner) + 2, 0x0021) + inner)  # PPPoE session
    yield up(0x8863, struct.pack("!BBHH", 0x11, 0x09, 0, 4) + struct.pack("!HH", 0x0101, 0))  # PPPoE discovery
    yield up(0x86DD, ip6(CLIENT6, EDGE6, 41, ip6("2001:db8:aa::1", "2001:db8:bb::1", 59, b"")))  # IPv6 in IPv6
    yield up(0x86DD, ip6(CLIENT6, EDGE6, 4, inner))  # IPv4 in IPv6
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 0x11223344, 65535, 10, 10, 1)
    yield over(132, struct.pack("!HHII", 50000, 3868, 0, 0) + chunk)  # SCTP INIT (its CRC32c is wrong)


def sound_but_rare():
    """Well-formed packets of kinds that a firewall must have an answer for."""
    up = lambda kind, payload: ether(WAN_MAC, CLIENT_MAC, kind, payload)  # noqa: E731
    yield ether(BROADCAST, CLIENT_MAC, 0x0806, struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, CLIENT_MAC, socket.inet_aton(CLIENT4), bytes(6), socket.inet_aton(CLIENT4)))
    ra = struct.pack("!BBHII", 64, 0, 1800, 0, 0) + b"\x01\x01" + CLIENT_MAC
    yield ether(bytes.fromhex("333300000001"), CLIENT_MAC, 0x86DD, ip6("fe80::ff:fe00:110", "ff02::1", 58, icmp6("fe80::ff:fe00:110", "ff02::1", 134, 0, ra), hop=255))
    data = udp(CLIENT6, SERVER6, 40001, 53, dns_query(1, "a.example"))
    padn = b"\x01\x04\0\0\0\0"
    yield up(0x86DD, ip6(CLIENT6, SERVER6, 0, bytes([60, 0]) + padn + bytes([17, 0]) + padn + data))  # hop-by-hop, destination
    route = bytes([17, 2, 0, 0, 0, 0, 0, 0]) + socket.inet_pton(socket.AF_INET6, EDGE6)
    yield up(0x86DD, ip6(CLIENT6, SERVER6, 43, route + data))  # routing header type 0
    yield up(0x86DD, ip6(CLIENT6, SERVER6, 59, b""))  # no next header
    long = udp(CLIENT6, SERVER6, 40002, 53, dns_query(2, "b.example") + bytes(600))
    for offset in (0, 320):  # fragments with the tail first
        tail = 320 - offset
        part = long[tail : tail + 320] if tail == 0 else long[tail:]
        yield up(0x86DD, ip6(CLIENT6, SERVER6, 44, struct.pack("!BBHI", 17, 0, tail | (1 if tail == 0 else 0), 0xABCD) + part))
    long4 = udp(CLIENT4, SERVER4, 40003, 53, dns_query(3, "a.example") + bytes(900))
    for offset in range(0, len(long4), 240):
        more = 0x2000 if offset + 240 < len(long4) else 0
        yield up(0x0800, ip4(CLIENT4, SERVER4, 17, long4[offset : offset + 240], ident=0x4242, flags=more | offset // 8))
    yield up(0x0800, ip4(CLIENT4, SERVER4, 6, tcp(CLIENT4, SERVER4, 40004, 80, 1, 0, 0x29)))  # FIN PSH URG: an Xmas scan
    yield up(0x0800, ip4(CLIENT4, SERVER4, 6, tcp(CLIENT4, SERVER4, 40005, 80, 1, 0, 0)))  # no flag: a null scan
    yield up(0x0800, ip4(CLIENT4, SERVER4, 6, tcp(CLIENT4, SERVER4, 40006, 443, 1, 0, SYN, b"", MSS)))
    yield up(0x0800, ip4(CLIENT4, SERVER4, 17, udp(CLIENT4, SERVER4, 40007, 53, b"")))  # no payload
    yield up(0x0800, ip4(CLIENT4, SERVER4, 17, udp(CLIENT4, SERVER4, 40008, 53, b"x")[:6] + b"\0\0x"))  # no checksum
    yield up(0x0800, ip4("127.0.0.1", SERVER4, 17, udp("127.0.0.1", SERVER4, 40009, 53, b"martian")))
    yield up(0x0800, ip4(SERVER4, SERVER4, 6, tcp(SERVER4, SERVER4, 80, 80, 1, 0, SYN)))  # land
    yield up(0x0800, ip4(CLIENT4, "224.0.0.251", 17, udp(CLIENT4, "224.0.0.251", 5353, 5353, dns_query(4, "a.local")), ttl=255))
    yield up(0x0800, ip4(CLIENT4, SERVER4, 50, bytes(40)))  # ESP
    yield up(0x0800, ip4(CLIENT4, "224.0.0.18", 112, bytes(20), ttl=255))  # VRRP
    yield ether(bytes.fromhex("0180c200000e"), CLIENT_MAC, 0x88CC, bytes(46))  # LLDP
    yield ether(bytes.fromhex("0180c2000000"), CLIENT_MAC, 38, b"\x42\x42\x03" + bytes(43))  # 802.3 length, LLC: STP


def malformed():
    """Broken on purpose; the comment says what."""
    up = lambda kind, payload: ether(WAN_MAC, CLIENT_MAC, kind, payload)  # noqa: E731
    sound_udp = udp(CLIENT4, SERVER4, 40100, 53, dns_query(5, "a.example"))
    sound = ip4(CLIENT4, SERVER4, 17, sound_udp)
    yield up(0x0800, b"")  # nothing after the Ethernet header
    yield up(0x0800, sound[:1])  # one byte of IPv4
    yield up(0x0800, sound[:19])  # IPv4 header cut short
    yield up(0x0800, sound[:20])  # IPv4 header alone, total length says more
    yield up(0x0800, sound[:24])  # UDP header cut short
    yield up(0x0800, ip4(CLIENT4, SERVER4, 17, sound_udp, version_ihl=0x44))  # IHL 4
    yield up(0x0800, ip4(CLIENT4, SERVER4, 17, sound_udp, version_ihl=0x40))  # IHL 0
    yield up(0x0800, ip4(CLIENT4, SERVER4, 17, b"\0" * 8, version_ihl=0x4F))  # IHL 15, beyond the frame
    yield up(0x0800, ip4(CLIENT4, SERVER4, 17, sound_udp, version_ihl=0x65))  # version 6 in an IPv4 frame
    yield up(0x0800, ip4(CLIENT4, SERVER4, 17, sound_udp, total=10))  # total length below the header's
    yield up(0x0800, ip4(CLIENT4, SERVER4, 17, sound_udp, total=1400))  # total length beyond the frame
    yield up(0x0800, ip4(CLIENT4, SERVER4, 17, sound_udp)[:10] + b"\xde\xad" + sound[12:])  # wrong header checksum
    yield up(0x0800, ip4(CLIENT4, SERVER4, 17, sound_udp, options=b"\x07\xff\x04\0"))  # option longer than the header
    yield up(0x0800, ip4(CLIENT4, SERVER4, 17, sound_udp, options=b"\x07\x00\x04\0"))  # option of length 0
    yield up(0x0800, ip4(CLIENT4, SERVER4, 17, udp(CLIENT4, SERVER4, 1, 53, b"abc", length=7)))  # UDP length below 8
    yield up(0x0800, ip4(CLIENT4, SERVER4, 17, udp(CLIENT4, SERVER4, 1, 53, b"abc", length=99)))  # beyond the packet
    yield up(0x0800, ip4(CLIENT4, SERVER4, 6, tcp(CLIENT4, SERVER4, 40101, 80, 1, 0, SYN)[:12]))  # runt TCP
    yield up(0x0800, ip4(CLIENT4, SERVER4, 6, tcp(CLIENT4, SERVER4, 40102, 80, 1, 0, SYN, offset=4)))  # data offset 4
    yield up(0x0800, ip4(CLIENT4, SERVER4, 6, tcp(CLIENT4, SERVER4, 40103, 80, 1, 0, SYN, offset=15)))  # beyond
    yield up(0x0800, ip4(CLIENT4, SERVER4, 6, tcp(CLIENT4, SERVER4, 40104, 80, 1, 0, SYN, b"", b"\x02\x00\x05\xb4")))
    yield up(0x0800, ip4(CLIENT4, SERVER4, 6, tcp(CLIENT4, SERVER4, 40105, 80, 1, 0, SYN)[:8], flags=0x2000))  # tiny fragment
    yield up(0x0800, ip4(CLIENT4, SERVER4, 6, bytes(16), flags=1))  # fragment over the TCP header
    yield up(0x0800, ip4(CLIENT4, SERVER4, 17, bytes(64), flags=0x1FFF))  # beyond 65,535 when reassembled
    yield up(0x0800, ip4(CLIENT4, SERVER4, 1, b"\x08"))  # runt ICMP
    sound6 = ip6(CLIENT6, SERVER6, 17, udp(CLIENT6, SERVER6, 40106, 53, dns_query(6, "a.example")))
    yield up(0x86DD, sound6[:1])
    yield up(0x86DD, sound6[:39])  # IPv6 header cut short
    yield up(0x86DD, sound6[:44])  # UDP header cut short
    yield up(0x86DD, b"\x45" + sound6[1:])  # version 4 in an IPv6 frame
    yield up(0x86DD, ip6(CLIENT6, SERVER6, 17, bytes(8), length=600))  # payload length beyond the frame
    yield up(0x86DD, ip6(CLIENT6, SERVER6, 0, bytes([17, 200]) + bytes(14)))  # extension header beyond the packet
    chain = b"".join(bytes([60, 0, 1, 4, 0, 0, 0, 0]) for _ in range(40))
    yield up(0x86DD, ip6(CLIENT6, SERVER6, 60, chain + bytes([17, 0, 1, 4, 0, 0, 0, 0]) + sound6[40:]))  # 41 headers
    yield up(0x86DD, ip6(CLIENT6, SERVER6, 44, b"\x11\0"))  # fragment header cut short
    yield up(0x86DD, ip6(CLIENT6, SERVER6, 6, tcp(CLIENT6, SERVER6, 40107, 80, 1, 0, SYN)[:19]))
    yield up(0x8100, b"\0\x64")  # tag cut short
    yield up(0x8100, vlan(100, 0x0800, sound[:12]))  # IPv4 cut short, inside a tag
    yield up(0x0806, bytes(8))  # ARP cut short
    yield up(0x0806, struct.pack("!HHBBH", 1, 0x0800, 255, 4, 1) + bytes(20))  # ARP address lengths
    yield up(0x8847, b"\0\0\1")  # MPLS cut short


def send_frames(iface, frames):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((iface, 0))
        for frame in frames:
            sock.send(frame)
            time.sleep(0.002)


# ------------------------------------------------------------------------------------------------ summary


def summary(paths):
    total = size = 0
    for path in paths:
        with open(path, "rb") as file:
            data = file.read()
        at, count, longest = 24, 0, 0
        while at < len(data):
            (length,) = struct.unpack_from("<I", data, at + 8)
            longest = max(longest, length)
            at += 16 + length
            count += 1
        print(f"{path}: {count} packets, {len(data)} bytes, longest frame {longest}")
        if longest > 1514 + 4:
            raise SystemExit(f"{path}: a frame of {longest} bytes: some offload is still on")
        least = 1200 if "wan" in os.path.basename(path) else 800
        if count < least:
            raise SystemExit(f"{path}: need {least} packets, have {count}")
        total += count
        size += len(data)
    if total < 2000 or size > 2 << 20:
        raise SystemExit(f"need 2000 packets in 2 MiB, have {total} in {size}")


def main(role, *rest):
    if role == "offloads-off":
        offloads_off(rest)
    elif role == "server":
        server(*rest)
    elif role == "client":
        client()
    elif role == "frames-wan":
        send_frames(rest[0], [*tagged_flow("192.0.2.10"), *tunnelled(), *sound_but_rare(), *malformed()])
    elif role == "frames-lan":
        send_frames(rest[0], tagged_flow("192.0.2.20"))
    elif role == "summary":
        summary(rest)
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:] or ["help"])
