/** Programs on routes. Source: net/core/lwt_bpf.c. */
import { Errno, SysError } from "@ebplane/core/errors";
import type { LwtHook } from "@ebplane/core/object";
import type { LinuxProgram } from "../bpf/index.ts";
import { addRoute, deleteRoute, type Encap, NETLINK_ROUTE, NetlinkSocket, type RouteSpec } from "../netlink/index.ts";
import { ifindex } from "./ifindex.ts";
import { PlainLink, type Unwrap } from "./link.ts";

/**
 * Adds the route with the program on it, in place of a route of the same prefix and metric; closing takes the route
 * away. @throws RangeError when neither a device nor a gateway is given.
 */
export function attachLwt(program: LinuxProgram, hook: LwtHook, unwrap: Unwrap): PlainLink<LwtHook> {
  if (hook.iface === undefined && hook.via === undefined) {
    throw new RangeError(`lwt ${hook.prefix}: expected a device or a gateway for the route`);
  }
  const base: RouteSpec = {
    dst: hook.prefix,
    via: hook.via,
    oif: hook.iface === undefined ? undefined : ifindex(hook.iface),
  };
  const socket = new NetlinkSocket(NETLINK_ROUTE);
  const attach = (next: LinuxProgram): void => {
    const name = `${next.spec.name}:${next.id}`;
    const encap: Encap =
      hook.direction === "seg6local"
        ? { type: "seg6local", action: "End.BPF", program: next.fd, name }
        : { type: "bpf", name, [hook.direction]: next.fd, headroom: hook.headroom };
    addRoute(socket, { ...base, encap });
  };
  try {
    attach(program);
  } catch (error) {
    socket.close();
    throw error;
  }
  const detach = (): void => {
    try {
      deleteRoute(socket, base);
    } catch (error) {
      // Gone with its device.
      if (!(error instanceof SysError) || error.errno !== Errno.ESRCH) throw error;
    } finally {
      socket.close();
    }
  };
  return new PlainLink(hook, unwrap, detach, attach);
}
