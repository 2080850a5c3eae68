/**
 * Objects that map values name by fd: programs, maps, sockets, perf events, control groups, each with its number on the
 * kernel's side and on ours. All are the test's own and end with `close`.
 */
import { closeSync, mkdirSync, openSync, readFileSync, rmdirSync } from "node:fs";
import { fromHex, toHex } from "@ebplane/core/bytes";
import { Errno, errnoName } from "@ebplane/core/errors";
import { createMap, type MapHost, type MapRuntime, type PerfEventArrayMap, type VmMap } from "@ebplane/core/maps";
import { type MapSpec, ProgType } from "@ebplane/core/object";
import { mapCreate, mapInfo, progInfo, progLoad } from "../src/bpf/index.ts";
import { scratch } from "../src/mem/index.ts";
import { close, NR, syscall } from "../src/sys/index.ts";

const u32 = (n: number) => new Uint8Array(new Uint32Array([n]).buffer);
const hex = toHex;
/** An fd that is not open. */
const NO_FD = 9999;

/** What values that name kernel objects stand for, on both sides. */
export interface Refs {
  readonly spec?: Partial<MapSpec>;
  readonly innerMapFd?: number;
  readonly values: readonly (readonly [kernel: number, ours: number])[];
  /** Ids that a lookup gives; the other side's for the same object. */
  readonly shown: ReadonlyMap<string, string>;
  /** What the machine's host says of ours. */
  readonly host?: MapHost;
  /** Fills a slot of ours where a value that is a number cannot. */
  fill?(map: VmMap, key: Uint8Array, value: Uint8Array, flags: number): void;
  close(): void;
}

/** Two programs, a map's fd that is none, and an fd that is closed. */
export function programs(): Refs {
  const code = fromHex("b700000000000000 9500000000000000");
  const fds = [0, 1].map(() => progLoad({ type: ProgType.BPF_PROG_TYPE_XDP, code }).fd);
  const shown = new Map(fds.map((fd) => [hex(u32(progInfo(fd).id)), hex(u32(fd))]));
  return {
    values: [...fds.map((fd) => [fd, fd] as const), [NO_FD, 0]],
    shown,
    close: () => void fds.map((fd) => close(fd)),
  };
}

/** Two maps that fit the template, one that does not, and none. */
export function maps(type: number) {
  return (rt: MapRuntime): Refs => {
    const template: MapSpec = { name: "inner", type, keySize: 4, valueSize: 8, maxEntries: 4, flags: 0 };
    const specs = [template, template, { ...template, valueSize: 4 }, { ...template, maxEntries: 5 }];
    const fds = specs.map((s) => mapCreate(s));
    const ours = specs.map((s) => createMap(rt, s));
    const ids = fds.map((fd, i) => [hex(u32(mapInfo(fd).id)), hex(u32(ours[i]!.id))] as const);
    return {
      spec: { inner: template },
      innerMapFd: fds[0],
      values: [...fds.map((fd, i) => [fd, ours[i]!.id] as const), [NO_FD, NO_FD]],
      shown: new Map(ids),
      close() {
        for (const fd of fds) close(fd);
        for (const m of ours) m.close();
      },
    };
  };
}

const AF_UNIX = 1;
const AF_INET = 2;
const AF_XDP = 44;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOL_SOCKET = 1;
const SO_REUSEPORT = 15;
const SO_COOKIE = 57;

function must(what: string, result: number): number {
  if (result < 0) throw new Error(`${what}: ${errnoName(result)}`);
  return result;
}

interface SocketShape {
  readonly family: number;
  readonly type: number;
  readonly reuse?: boolean;
  /** Bound to a free port; listening where streams do that. */
  readonly bound?: boolean;
  /** What the map answers that is offered it. */
  readonly refused?: number;
}

function openSocket({ family, type, reuse, bound }: SocketShape): number {
  const fd = must("socket", syscall(NR.socket, family, type, 0));
  return scratch((memory) => {
    const option = memory.take(4);
    option.view.setUint32(0, 1, true);
    if (reuse) must("SO_REUSEPORT", syscall(NR.setsockopt, fd, SOL_SOCKET, SO_REUSEPORT, option.address, 4));
    const address = memory.take(16);
    address.view.setUint16(0, family, true);
    if (bound) must("bind", syscall(NR.bind, fd, address.address, 16));
    if (bound && type === SOCK_STREAM) must("listen", syscall(NR.listen, fd, 1));
    return fd;
  });
}

function cookie(fd: number): Uint8Array {
  return scratch((memory) => {
    const out = memory.take(16);
    out.view.setUint32(8, 8, true);
    must("SO_COOKIE", syscall(NR.getsockopt, fd, SOL_SOCKET, SO_COOKIE, out.address, out.address + 8));
    return out.bytes.slice(0, 8);
  });
}

/** These sockets, an fd that is no socket, one that is closed, and one that is negative; nothing is ever sent. */
function socketRefs(shapes: readonly SocketShape[]): Refs {
  const fds = shapes.map(openSocket);
  const shown = new Map<string, string>();
  for (const fd of fds) shown.set(hex(cookie(fd)), hex(new Uint8Array([...u32(fd), 0, 0, 0, 0])));
  const file = openSync("/dev/null", "r");
  const answers = new Map(fds.map((fd, i) => [fd, shapes[i]!.refused ?? 0]));
  answers.set(file, Errno.ENOTSOCK);
  return {
    values: [...fds, file, NO_FD, 0x80000000].map((fd) => [fd, fd] as const),
    shown,
    host: { socket: (handle) => answers.get(handle) ?? Errno.EBADF },
    close() {
      for (const fd of fds) close(fd);
      closeSync(file);
    },
  };
}

/** For sockmap and sockhash: bound UDP sockets. */
export function sockets(): Refs {
  const udp = { family: AF_INET, type: SOCK_DGRAM, bound: true };
  return socketRefs([udp, udp]);
}

/** For a reuseport array: members of groups, and sockets that it does not take. */
export function reuseportSockets(): Refs {
  const member = { family: AF_INET, reuse: true, bound: true };
  const [udp, tcp] = [SOCK_DGRAM, SOCK_STREAM];
  return socketRefs([
    { ...member, type: udp },
    { ...member, type: udp },
    { ...member, type: udp },
    { ...member, type: tcp },
    { ...member, type: tcp },
    { family: AF_INET, type: udp, reuse: true, refused: Errno.EINVAL },
    { family: AF_INET, type: tcp, reuse: true, refused: Errno.EINVAL },
    { family: AF_INET, type: udp, bound: true, refused: Errno.EINVAL },
    { family: AF_UNIX, type: udp, refused: Errno.ENOTSUPP },
  ]);
}

/** For an xskmap: AF_XDP sockets, which need no device to stand there, and one of another family. */
export function xdpSockets(): Refs {
  const xdp = { family: AF_XDP, type: SOCK_RAW };
  return socketRefs([xdp, xdp, xdp, { family: AF_INET, type: SOCK_DGRAM, refused: Errno.EOPNOTSUPP }]);
}

const PERF_TYPE_SOFTWARE = 1;
const PERF_COUNT_SW_BPF_OUTPUT = 10;
const PERF_ATTR_SIZE = 128;

/** Two perf events, an fd of something else, and one that is closed. Of ours a reader stands for an event. */
export function perfEvents(): Refs {
  const open = () =>
    scratch((memory) => {
      const attr = memory.take(PERF_ATTR_SIZE);
      attr.view.setUint32(0, PERF_TYPE_SOFTWARE, true);
      attr.view.setUint32(4, PERF_ATTR_SIZE, true);
      attr.view.setBigUint64(8, BigInt(PERF_COUNT_SW_BPF_OUTPUT), true);
      return must("perf_event_open", syscall(NR.perf_event_open, attr.address, -1, 0, -1, 0));
    });
  const fds = [open(), open()];
  const file = openSync("/dev/null", "r");
  return {
    values: [...fds, file, NO_FD].map((fd) => [fd, fd] as const),
    shown: new Map(),
    fill(map, key, value, flags) {
      const fd = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
      if (flags || !fds.includes(fd)) map.update(key, value, flags);
      else (map as PerfEventArrayMap).openReader(new DataView(key.buffer, key.byteOffset).getUint32(0, true), 4096);
    },
    close() {
      for (const fd of fds) close(fd);
      closeSync(file);
    },
  };
}

/** Where the second hierarchy is mounted. */
export const CGROUP2 = readFileSync("/proc/mounts", "utf8")
  .split("\n")
  .map((line) => line.split(" "))
  .find(([, , type]) => type === "cgroup2")?.[1];

/** Two control groups of our own, by fd. */
export function cgroups(): { readonly fds: readonly number[]; close(): void } {
  const dirs = [0, 1].map((i) => `${CGROUP2}/ebplane-maps-${process.pid}-${i}`);
  const made: string[] = [];
  const fds: number[] = [];
  const end = (): void => {
    for (const fd of fds) closeSync(fd);
    for (const dir of made) rmdirSync(dir);
  };
  try {
    for (const dir of dirs) {
      mkdirSync(dir);
      made.push(dir);
      fds.push(openSync(dir, "r"));
    }
  } catch (e) {
    end();
    throw e;
  }
  return { fds, close: end };
}

/** For a cgroup array: two groups, a directory that is none, and an fd that is closed. */
export function cgroupRefs(): Refs {
  const groups = cgroups();
  const other = openSync("/", "r");
  return {
    values: [...groups.fds, other, NO_FD].map((fd) => [fd, fd] as const),
    shown: new Map(),
    host: { cgroup: (handle) => groups.fds.includes(handle) },
    close() {
      groups.close();
      closeSync(other);
    },
  };
}
