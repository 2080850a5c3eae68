/** What is attached to the devices of a namespace, whoever attached it and however: links, netlink, cls_bpf. */
import { Errno, SysError } from "@ebplane/core/errors";
import { AttachType } from "@ebplane/core/object";
import { fdById, progInfo } from "../bpf/index.ts";
import { type LinkInfo, listBpfFilters, listLinks, NETLINK_ROUTE, NetlinkSocket } from "../netlink/index.ts";
import { close } from "../sys/index.ts";
import { listLinkObjects } from "./describe.ts";
import { queryPrograms } from "./query.ts";

export interface DeviceAttachment {
  readonly iface: string;
  readonly ifindex: number;
  readonly kind: "xdp" | "tcx" | "tc";
  /** For XDP the mode, else the direction. */
  readonly where: "native" | "generic" | "offload" | "multi" | "ingress" | "egress";
  readonly progId: number;
  /** The program's name; undefined when it may not be looked at. */
  readonly name: string | undefined;
  /** 0 where it is attached without a link. */
  readonly linkId: number;
  /** Of a cls_bpf filter. */
  readonly priority: number | undefined;
}

/** All devices of the calling thread's network namespace, in order of their index; programs in the order they run. */
export function listDeviceAttachments(): DeviceAttachment[] {
  const socket = new NetlinkSocket(NETLINK_ROUTE);
  try {
    const xdpLinks = new Map(
      listLinkObjects()
        .filter((link) => link.type === "xdp")
        .map((link) => [`${link.ifindex}/${link.progId}`, link.id]),
    );
    return listLinks(socket).flatMap((device) => attachmentsOf(socket, device, xdpLinks));
  } finally {
    socket.close();
  }
}

function attachmentsOf(
  socket: NetlinkSocket,
  device: LinkInfo,
  xdpLinks: ReadonlyMap<string, number>,
): DeviceAttachment[] {
  const found: DeviceAttachment[] = [];
  const base = { iface: device.name, ifindex: device.index, priority: undefined };
  if (device.xdp) {
    const { mode, progId } = device.xdp;
    const linkId = xdpLinks.get(`${device.index}/${progId}`) ?? 0;
    found.push({ ...base, kind: "xdp", where: mode, progId, name: programName(progId), linkId });
  }
  for (const where of ["ingress", "egress"] as const) {
    for (const { progId, linkId } of tcxPrograms(device.index, where)) {
      found.push({ ...base, kind: "tcx", where, progId, name: programName(progId), linkId });
    }
    for (const { progId = 0, name, priority } of listBpfFilters(socket, device.index, where)) {
      found.push({ ...base, kind: "tc", where, progId, name, linkId: 0, priority });
    }
  }
  return found;
}

function tcxPrograms(ifindex: number, where: "ingress" | "egress") {
  try {
    const type = where === "ingress" ? AttachType.BPF_TCX_INGRESS : AttachType.BPF_TCX_EGRESS;
    return queryPrograms(ifindex, type).programs;
  } catch (error) {
    // Before 6.6 there is no tcx; a device may go while it is asked about.
    if (error instanceof SysError && (error.errno === Errno.EINVAL || error.errno === Errno.ENODEV)) return [];
    throw error;
  }
}

function programName(id: number): string | undefined {
  const fd = fdById("prog", id);
  if (fd === undefined) return undefined;
  try {
    return progInfo(fd).name;
  } finally {
    close(fd);
  }
}
