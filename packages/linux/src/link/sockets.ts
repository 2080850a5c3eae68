/**
 * Programs on sockets: through the sockmap that holds them, or on one socket by setsockopt.
 * Source: net/core/sock_map.c, net/core/filter.c `sk_attach_bpf`, `sk_reuseport_attach_bpf`.
 */
import { Errno, UnsupportedError } from "@ebplane/core/errors";
import { ATTACH_TYPE_SINCE, AttachType, hookText, type SocketHook, type SockmapHook } from "@ebplane/core/object";
import {
  Cmd,
  cmdName,
  LinuxMap,
  type LinuxProgram,
  tryLinkCreate,
  tryProgAttach,
  tryProgDetach,
} from "../bpf/index.ts";
import { scratch, setPointer } from "../mem/index.ts";
import { check, NR, syscall, sysError } from "../sys/index.ts";
import { BpfLink, PlainLink, type Unwrap } from "./link.ts";

/** The attach type of each place at a socket map. */
export const SOCKMAP_TYPES = {
  parser: AttachType.BPF_SK_SKB_STREAM_PARSER,
  verdict: AttachType.BPF_SK_SKB_STREAM_VERDICT,
  skb_verdict: AttachType.BPF_SK_SKB_VERDICT,
  msg: AttachType.BPF_SK_MSG_VERDICT,
} as const satisfies Record<SockmapHook["type"], number>;

/**
 * Attaches to a map; sockets that are put in later get the program. It ends with the map at the latest. By a link since
 * Linux 6.10, before that by PROG_ATTACH, where the latest program takes the place.
 */
export function attachSockmap(
  program: LinuxProgram,
  hook: SockmapHook,
  unwrap: Unwrap,
): BpfLink<SockmapHook> | PlainLink<SockmapHook> {
  const { map } = hook;
  if (!(map instanceof LinuxMap)) throw new TypeError(`map ${map.spec.name}: expected a map of the linux target`);
  const type = SOCKMAP_TYPES[hook.type];
  const fd = tryLinkCreate(program.fd, map.fd, type);
  if (fd >= 0) return new BpfLink(fd, hook, unwrap);
  if (fd === -Errno.EBUSY) throw sysError(cmdName(Cmd.LINK_CREATE), Errno.EBUSY, `${hookText(hook)}: is taken`);
  let current = program;
  progAttach(hook, map.fd, program.fd, type);
  const detach = (): void => {
    const result = tryProgDetach(map.fd, current.fd, type);
    // ENOENT: another program took the place meanwhile, so ours is detached.
    if (result !== -Errno.ENOENT) check(cmdName(Cmd.PROG_DETACH), result, hookText(hook));
  };
  return new PlainLink(hook, unwrap, detach, (next) => {
    progAttach(hook, map.fd, next.fd, type);
    current = next;
  });
}

function progAttach(hook: SockmapHook, target: number, progFd: number, type: number): void {
  const result = tryProgAttach(target, progFd, type);
  // Linux before 5.13 has only the pair of parser and verdict.
  if (result === -Errno.EINVAL && hook.type === "skb_verdict" && tryProgAttach(-1, progFd, type) === -Errno.EINVAL) {
    const why = `${hookText(hook)}: this kernel has no skb_verdict, use parser and verdict`;
    throw new UnsupportedError("skb_verdict", why, ATTACH_TYPE_SINCE.BPF_SK_SKB_VERDICT);
  }
  check(cmdName(Cmd.PROG_ATTACH), result, hookText(hook));
}

const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const SO_DETACH_FILTER = 27;
const SO_ATTACH_BPF = 50;
const SO_ATTACH_REUSEPORT_EBPF = 52;
const SO_DETACH_REUSEPORT_BPF = 68;

/** Attaches to one socket until closed; it ends with the socket at the latest. */
export function attachSocket(program: LinuxProgram, hook: SocketHook, unwrap: Unwrap): PlainLink<SocketHook> {
  const [on, off] =
    hook.type === "filter" ? [SO_ATTACH_BPF, SO_DETACH_FILTER] : [SO_ATTACH_REUSEPORT_EBPF, SO_DETACH_REUSEPORT_BPF];
  const attach = (next: LinuxProgram): void => setOption(hook, on, next.fd);
  attach(program);
  return new PlainLink(hook, unwrap, () => setOption(hook, off, 0), attach);
}

function setOption(hook: SocketHook, option: number, value: number): void {
  scratch((memory) => {
    const word = memory.take(4);
    word.view.setInt32(0, value, true);
    const result = syscall(NR.setsockopt, hook.fd, SOL_SOCKET, option, word.address, 4);
    // Detaching what is not there, or from a socket that is closed, is no failure.
    if (value === 0 && (result === -Errno.ENOENT || result === -Errno.EBADF)) return;
    if (result === -Errno.EINVAL) {
      throw sysError("setsockopt", Errno.EINVAL, `${hookText(hook)}: not accepted by this socket and program type`);
    }
    check("setsockopt", result, hookText(hook));
  });
}

/** Attaches a classic BPF program (`struct sock_filter` records, 8 bytes each) to a socket. */
export function attachClassicFilter(fd: number, filter: Uint8Array): void {
  scratch((memory) => {
    const program = memory.take(16); // struct sock_fprog
    program.view.setUint16(0, filter.length / 8, true);
    setPointer(program.view, 8, memory.put(filter));
    const result = syscall(NR.setsockopt, fd, SOL_SOCKET, SO_ATTACH_FILTER, program.address, 16);
    check("setsockopt(SO_ATTACH_FILTER)", result, `${filter.length / 8} instructions`);
  });
}
