/** Detaches what is attached, whoever did it, and takes away what our attaching left beside. */
import { closeSync } from "node:fs";
import { BpfError, Errno, SysError } from "@ebplane/core/errors";
import { leaveLibxdp, openLink } from "@ebplane/linux";
import { fdById, progDetach } from "@ebplane/linux/bpf";
import {
  addRoute,
  deleteClsact,
  deleteFilter,
  deleteRoute,
  listBpfFilters,
  NETLINK_ROUTE,
  NetlinkSocket,
  setLinkXdp,
} from "@ebplane/linux/netlink";
import { type Attached, withTarget } from "./listing.ts";
import { marksOf, removeRecord } from "./records.ts";

const XDP_FLAGS_SKB_MODE = 1 << 1;
const XDP_FLAGS_DRV_MODE = 1 << 2;
const XDP_FLAGS_HW_MODE = 1 << 3;
const XDP_MODES = {
  generic: [XDP_FLAGS_SKB_MODE],
  native: [XDP_FLAGS_DRV_MODE],
  offload: [XDP_FLAGS_HW_MODE],
  multi: [XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE],
} as const;

/** @throws BpfError where the kernel has no way to detach it from outside. */
export function detach(attached: Attached): void {
  const { way, record, text } = attached;
  switch (way.by) {
    case "link":
      detachLink(attached, way.id);
      break;
    case "xdp":
      withSocket((socket) => {
        for (const mode of XDP_MODES[way.mode]) setLinkXdp(socket, way.index, -1, mode);
      });
      break;
    case "libxdp":
      if (!leaveLibxdp(way.index, way.program)) {
        throw new BpfError("ENOENT", `${text}: program ${way.program} is in libxdp's dispatcher no more`);
      }
      break;
    case "filter": {
      const ours = record !== undefined && marksOf(record).has("clsact");
      withSocket((socket) => {
        deleteFilter(socket, way.place);
        const { index } = way.place;
        const left = [...listBpfFilters(socket, index, "ingress"), ...listBpfFilters(socket, index, "egress")];
        if (ours && left.length === 0) deleteClsact(socket, index);
      });
      break;
    }
    case "program":
      detachProgram(attached, way.target, way.attachType);
      break;
    case "route": {
      const before = record !== undefined && marksOf(record).has("route");
      // Replacing leaves no moment without the route.
      withSocket((socket) => (before ? addRoute(socket, way.route) : deleteRoute(socket, way.route)));
      break;
    }
    case "one of":
      throw new BpfError("EAMBIGUOUS", `${text}: links ${way.links.join(" and ")} look alike: choose with --link ID`);
    case "record":
      break;
  }
  if (record) removeRecord(record);
}

function detachLink({ text, record }: Attached, id: number): void {
  const link = openLink({ id });
  try {
    link.detach();
  } catch (error) {
    // Tracing links end with their last holder only: of ours that is the pin, which goes with the record.
    if (!(error instanceof SysError) || error.errno !== Errno.EOPNOTSUPP) throw error;
    if (!record) throw new BpfError("EHELD", `${text}: link ${id} ends with the process or the pin that holds it`);
  } finally {
    link.close();
  }
}

function detachProgram({ text, progId }: Attached, target: Parameters<typeof withTarget>[0], attachType: number): void {
  const fd = fdById("prog", progId);
  if (fd === undefined) throw new BpfError("ENOENT", `${text}: program ${progId} is gone`);
  try {
    withTarget(target, (number) => progDetach(number, fd, attachType));
  } finally {
    closeSync(fd);
  }
}

function withSocket(body: (socket: NetlinkSocket) => void): void {
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  body(socket);
}
