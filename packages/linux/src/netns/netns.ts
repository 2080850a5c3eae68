/**
 * Network namespaces as objects. One that was created here has no name: it lives as long as its fd, its processes and
 * what is attached in it, so the end of this process cleans it up.
 */
import {
  type ChildProcess,
  type SpawnOptions,
  type SpawnSyncOptions,
  type SpawnSyncReturns,
  spawn,
  spawnSync,
} from "node:child_process";
import { closeSync, fstatSync, mkdirSync, openSync, unlinkSync, writeFileSync } from "node:fs";
import { scratch } from "../mem/index.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../netlink/index.ts";
import { check, currentNetns, inNetns, NR, newNetns, syscall } from "../sys/index.ts";

/** Where `ip netns` keeps its names. */
const NAMED = "/run/netns";
const MS_BIND = 4096;
const MNT_DETACH = 2;

export class NetNs {
  #fd: number;
  #route: NetlinkSocket | undefined;
  /** The name under /run/netns, where it has one. */
  readonly name: string | undefined;

  private constructor(fd: number, name?: string) {
    this.#fd = fd;
    this.name = name;
  }

  /** A new, empty namespace; its loopback is down. @throws SysError EPERM without CAP_SYS_ADMIN. */
  static create(): NetNs {
    return new NetNs(newNetns());
  }

  /** The calling thread's namespace. */
  static current(): NetNs {
    return new NetNs(currentNetns());
  }

  /** The namespace of a process, or behind a file such as /run/netns/blue. */
  static open(where: { readonly pid: number } | { readonly path: string }): NetNs {
    return new NetNs(openSync("pid" in where ? `/proc/${where.pid}/ns/net` : where.path, "r"));
  }

  /** A namespace that `ip netns` made or `createNamed` did. */
  static openNamed(name: string): NetNs {
    return new NetNs(openSync(namedPath(name), "r"), name);
  }

  /** A new namespace under a name, as `ip netns add` makes it: it outlives the process, until `removeNamed`. */
  static createNamed(name: string): NetNs {
    const path = namedPath(name);
    mkdirSync(NAMED, { recursive: true });
    writeFileSync(path, "", { flag: "wx" });
    try {
      const fd = newNetns();
      const result = scratch((memory) =>
        syscall(NR.mount, memory.cstring(`/proc/self/fd/${fd}`), memory.cstring(path), 0, MS_BIND, 0),
      );
      if (result < 0) closeSync(fd);
      check("mount", result, path);
      return new NetNs(fd, name);
    } catch (error) {
      unlinkSync(path);
      throw error;
    }
  }

  static removeNamed(name: string): void {
    const path = namedPath(name);
    check(
      "umount2",
      scratch((memory) => syscall(NR.umount2, memory.cstring(path), MNT_DETACH)),
      path,
    );
    unlinkSync(path);
  }

  /** The namespace's file descriptor; it stays this object's. @throws TypeError after `close`. */
  get fd(): number {
    if (this.#fd < 0) throw new TypeError("network namespace: is closed");
    return this.#fd;
  }

  /** The number that identifies the namespace in /proc (`net:[4026531840]`). */
  get inode(): number {
    return fstatSync(this.fd).ino;
  }

  /** Runs synchronous code inside: sockets, links and files opened there stay there. */
  run<T>(body: () => T): T {
    return inNetns(this.fd, body);
  }

  /** The rtnetlink socket of this namespace, opened once. */
  get route(): NetlinkSocket {
    this.#route ??= this.run(() => new NetlinkSocket(NETLINK_ROUTE));
    return this.#route;
  }

  /** Starts a process inside. Node forks in the calling thread, so the child is born there. */
  spawn(command: string, args: readonly string[] = [], options: SpawnOptions = {}): ChildProcess {
    return this.run(() => spawn(command, args, options));
  }

  /** Runs a process inside to its end; output as text. */
  spawnSync(command: string, args: readonly string[] = [], options: SpawnSyncOptions = {}): SpawnSyncReturns<string> {
    return this.run(() => spawnSync(command, args, { ...options, encoding: "utf8" }));
  }

  /** Writes a value under /proc/sys/net, e.g. `ipv4/ip_forward`. */
  sysctl(path: string, value: string): void {
    this.run(() => writeFileSync(`/proc/sys/net/${path}`, value));
  }

  close(): void {
    if (this.#fd < 0) return;
    this.#route?.close();
    const fd = this.#fd;
    this.#fd = -1;
    closeSync(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function namedPath(name: string): string {
  if (!/^[\w.-]+$/.test(name) || /^\.+$/.test(name)) {
    throw new RangeError(`network namespace ${JSON.stringify(name)}: expected letters, digits, "_", "-" and "."`);
  }
  return `${NAMED}/${name}`;
}
