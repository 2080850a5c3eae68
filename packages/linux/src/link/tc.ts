/**
 * Programs on packets behind XDP: tcx links, and cls_bpf on clsact for kernels before 6.6.
 * Source: kernel/bpf/tcx.c, net/sched/cls_bpf.c, net/sched/sch_ingress.c.
 */
import { Errno, SysError, UnsupportedError } from "@ebplane/core/errors";
import { AttachType, hookText, type NetkitHook, type TcHook, type TcxHook } from "@ebplane/core/object";
import type { LinuxProgram } from "../bpf/index.ts";
import {
  addClsact,
  deleteClsact,
  deleteFilter,
  getLink,
  listBpfFilters,
  NETLINK_ROUTE,
  NetlinkSocket,
  setBpfFilter,
} from "../netlink/index.ts";
import { createLink, orderFields } from "./create.ts";
import { ifindex } from "./ifindex.ts";
import { BpfLink, PlainLink, type Unwrap } from "./link.ts";

export function attachTcx(program: LinuxProgram, hook: TcxHook, unwrap: Unwrap): BpfLink<TcxHook> {
  const attachType = hook.direction === "ingress" ? AttachType.BPF_TCX_INGRESS : AttachType.BPF_TCX_EGRESS;
  const fd = createLink(
    hook,
    { progFd: program.fd, target: ifindex(hook.iface), attachType, ...orderFields(hook.order) },
    { [Errno.EINVAL]: "not accepted by this device" },
  );
  return new BpfLink(fd, hook, unwrap);
}

/**
 * The program of one end of a netkit pair.
 * @throws UnsupportedError on a kernel without netkit, and for a device of another kind.
 */
export function attachNetkit(program: LinuxProgram, hook: NetkitHook, unwrap: Unwrap): BpfLink<NetkitHook> {
  const target = ifindex(hook.iface);
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  const { kind } = getLink(socket, target);
  if (kind !== "netkit") {
    const reason = `${hookText(hook)}: ${hook.iface} is a ${kind ?? "plain"} device, not a netkit one`;
    throw new UnsupportedError("netkit", reason, "6.7");
  }
  const attachType = hook.end === "primary" ? AttachType.BPF_NETKIT_PRIMARY : AttachType.BPF_NETKIT_PEER;
  const fd = createLink(
    hook,
    { progFd: program.fd, target, attachType, ...orderFields(hook.order) },
    { [Errno.EACCES]: "programs of both ends are attached at the primary device" },
  );
  return new BpfLink(fd, hook, unwrap);
}

/** Attaches a direct-action filter, with clsact added where it is not there and removed when the last filter goes. */
export function attachTc(program: LinuxProgram, hook: TcHook, unwrap: Unwrap): PlainLink<TcHook> {
  const index = ifindex(hook.iface);
  const place = { index, direction: hook.direction, priority: hook.priority ?? 1, handle: 1 };
  const socket = new NetlinkSocket(NETLINK_ROUTE);
  let ours = false;
  try {
    try {
      addClsact(socket, index);
      ours = true;
    } catch (error) {
      if (!(error instanceof SysError) || error.errno !== Errno.EEXIST) throw error;
    }
    setBpfFilter(socket, place, program.fd, program.spec.name);
  } catch (error) {
    if (ours) deleteClsact(socket, index);
    socket.close();
    throw error;
  }
  const detach = (): void => {
    try {
      deleteFilter(socket, place);
      const filters = [...listBpfFilters(socket, index, "ingress"), ...listBpfFilters(socket, index, "egress")];
      if (ours && filters.length === 0) deleteClsact(socket, index);
    } catch (error) {
      // The device, or what we put on it, is gone already: that is what was wanted.
      if (!(error instanceof SysError) || (error.errno !== Errno.ENODEV && error.errno !== Errno.ENOENT)) throw error;
    } finally {
      socket.close();
    }
  };
  return new PlainLink(hook, unwrap, detach, (next) => setBpfFilter(socket, place, next.fd, next.spec.name, true));
}
