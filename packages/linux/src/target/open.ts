/**
 * Objects that exist already: pinned by an earlier process, or somebody else's by id. What is opened here is a second
 * hold on the kernel's object; closing it changes nothing for others.
 */
import type { Hook, ProgramSpec } from "@ebplane/core/object";
import { fdById, kindOfFd, LinuxMap, LinuxProgram, linkInfo, type ObjectKind, objGet, progInfo } from "../bpf/index.ts";
import { BpfLink, describeLink } from "../link/index.ts";
import { getLink, NETLINK_ROUTE, NetlinkSocket } from "../netlink/index.ts";
import { close } from "../sys/index.ts";
import { specOf } from "./compatible.ts";
import { linuxProgram } from "./load.ts";

/** A file in bpffs or the kernel's id. */
export type Where = { readonly path: string } | { readonly id: number };

/** @throws RangeError when there is no such map, or the file is a program or a link. */
export function openMap(where: Where): LinuxMap {
  return opened(where, "map", (fd) => new LinuxMap(fd, specOf(fd)));
}

/** The program's spec has its name and type; its code stays in the kernel. */
export function openProgram(where: Where): LinuxProgram {
  return opened(where, "prog", (fd) => {
    const { name, type } = progInfo(fd);
    const spec: ProgramSpec = {
      name,
      section: "",
      type,
      attachType: 0,
      flags: 0,
      code: new Uint8Array(0),
      relocs: [],
      funcInfo: [],
      lineInfo: [],
    };
    return new LinuxProgram(fd, spec);
  });
}

/** Takes over a link: to update its program, to detach it, or, unpinned, to keep it. */
export function openLink(where: Where): BpfLink<Hook> {
  return opened(where, "link", (fd) => {
    const { hook = { kind: "trace" }, progId } = describeLink(linkInfo(fd));
    return new BpfLink<Hook>(fd, hook, linuxProgram, {
      mode: hook.kind === "xdp" ? modeOf(hook.iface, progId) : "native",
    });
  });
}

function opened<T>(where: Where, kind: ObjectKind, wrap: (fd: number) => T): T {
  const name = "path" in where ? where.path : `id ${where.id}`;
  const fd = "path" in where ? objGet(where.path) : fdById(kind, where.id);
  if (fd === undefined) throw new RangeError(`${kind} ${name}: does not exist`);
  try {
    if ("path" in where) checkKind(fd, kind, name);
    return wrap(fd);
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Info of another kind of object than the fd's is an error only sometimes: the fd's name in /proc is sure. */
function checkKind(fd: number, kind: ObjectKind, name: string): void {
  const is = kindOfFd(fd);
  if (is !== kind) throw new RangeError(`${kind} ${name}: is a ${is ?? "file of another kind"}`);
}

/** The link does not say its mode, the device does: of the program that it runs. */
function modeOf(device: string, progId: number): "native" | "generic" {
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  const { xdp } = getLink(socket, device);
  return xdp?.progId === progId && xdp.mode === "generic" ? "generic" : "native";
}
