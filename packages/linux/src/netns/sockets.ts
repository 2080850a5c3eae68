/**
 * Sockets made inside a namespace and handed to Node as fds. `net.Server.listen(port)` and `net.connect` make theirs a
 * tick later, when the thread is home again; these are made at once.
 */

import { Errno } from "@ebplane/core/errors";
import { parseIp } from "@ebplane/core/wire";
import { type Block, scratch } from "../mem/index.ts";

import { check, close, NR, sleep, syscall } from "../sys/index.ts";
import type { NetNs } from "./netns.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_FLAGS = 0o2000000 | 0o4000; // CLOEXEC | NONBLOCK
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const BACKLOG = 128;

/** A listening TCP socket: `net.createServer(…).listen({ fd })`, which takes the fd over. */
export function listenTcp(ns: NetNs, ip: string, port: number): number {
  return open(ns, ip, SOCK_STREAM, (fd) => {
    setOption(fd, SO_REUSEADDR, 1);
    bind(fd, ip, port);
    check("listen", syscall(NR.listen, fd, BACKLOG), `${ip}:${port}`);
  });
}

/** A TCP socket whose connection is under way: `new net.Socket({ fd, readable: true, writable: true })`. */
export function connectTcp(ns: NetNs, ip: string, port: number): number {
  return open(ns, ip, SOCK_STREAM, (fd) => {
    const result = withSockaddr(ip, port, (address) => syscall(NR.connect, fd, address.address, address.bytes.length));
    if (result !== -Errno.EINPROGRESS) check("connect", result, `${ip}:${port}`);
  });
}

/** A bound UDP socket, non-blocking; with `reusePort` others may share the port. */
export function bindUdp(ns: NetNs, ip: string, port: number, options: { reusePort?: boolean } = {}): number {
  return open(ns, ip, SOCK_DGRAM, (fd) => {
    if (options.reusePort) setOption(fd, SO_REUSEPORT, 1);
    bind(fd, ip, port);
  });
}

/** Sends a datagram. @returns the bytes sent or `-errno`: a local refusal (EPERM, ECONNREFUSED) is an answer. */
export function sendUdp(fd: number, ip: string, port: number, data: Uint8Array): number {
  return scratch((memory) => {
    const bytes = memory.put(data);
    return withSockaddr(ip, port, (to) => syscall(NR.sendto, fd, bytes, data.length, 0, to.address, to.bytes.length));
  });
}

/** The next datagram that has arrived, or undefined. */
export function receiveUdp(fd: number): Uint8Array | undefined {
  return scratch((memory) => {
    const buffer = memory.take(1 << 16);
    const result = syscall(NR.recvfrom, fd, buffer.address, buffer.bytes.length);
    if (result === -Errno.EAGAIN || result === -Errno.ECONNREFUSED) return undefined;
    return buffer.bytes.slice(0, check("recvfrom", result));
  });
}

/**
 * The next datagram, waited for: on a busy machine the kernel leaves delivery to a thread of its own (ksoftirqd), and what
 * was sent has not arrived when sending returns.
 */
export function awaitUdp(fd: number, milliseconds = 3000): Uint8Array | undefined {
  const until = performance.now() + milliseconds;
  for (;;) {
    const data = receiveUdp(fd);
    if (data || performance.now() >= until) return data;
    sleep(1);
  }
}

/** How many datagrams arrive: all that are expected are waited for, and one more for a moment. */
export function countUdp(fd: number, expected: number): number {
  const MOMENT = 20;
  let count = 0;
  while (awaitUdp(fd, count < expected ? undefined : MOMENT)) count++;
  return count;
}

function open(ns: NetNs, ip: string, type: number, setUp: (fd: number) => void): number {
  const family = parseIp(ip).length === 4 ? AF_INET : AF_INET6;
  const fd = ns.run(() => check("socket", syscall(NR.socket, family, type | SOCK_FLAGS)));
  try {
    setUp(fd);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

function bind(fd: number, ip: string, port: number): void {
  const result = withSockaddr(ip, port, ({ address, bytes }) => syscall(NR.bind, fd, address, bytes.length));
  check("bind", result, `${ip}:${port}`);
}

function setOption(fd: number, option: number, value: number): void {
  scratch((memory) => {
    const word = memory.take(4);
    word.view.setInt32(0, value, true);
    check("setsockopt", syscall(NR.setsockopt, fd, SOL_SOCKET, option, word.address, 4));
  });
}

/** `struct sockaddr_in` or `sockaddr_in6`. */
function withSockaddr<T>(ip: string, port: number, body: (address: Block) => T): T {
  const bytes = parseIp(ip);
  return scratch((memory) => {
    const address = memory.take(bytes.length === 4 ? 16 : 28);
    address.view.setUint16(0, bytes.length === 4 ? AF_INET : AF_INET6, true);
    address.view.setUint16(2, port); // Big-endian.
    address.bytes.set(bytes, bytes.length === 4 ? 4 : 8);
    return body(address);
  });
}
