/** Conflicts with what is attached already: neighbours that are not there, places that are taken. */
import { AttachType, type Hook, hookText, type Order } from "@ebplane/core/object";
import { listLinkObjects, queryPrograms } from "../link/index.ts";
import { type LinkInfo, listBpfFilters, type NetlinkSocket } from "../netlink/index.ts";
import type { Finding } from "./finding.ts";

export function checkOrder(hook: Hook, devices: ReadonlyMap<string, LinkInfo>, socket: NetlinkSocket): Finding[] {
  const place = hookText(hook);
  const error = (reason: string, remedy: string): Finding[] => [{ severity: "error", place, reason, remedy }];
  switch (hook.kind) {
    case "tcx": {
      const device = devices.get(hook.iface);
      if (!device || !hook.order) return [];
      const type = hook.direction === "ingress" ? AttachType.BPF_TCX_INGRESS : AttachType.BPF_TCX_EGRESS;
      return checkNeighbours(hook.order, queryPrograms(device.index, type), error);
    }
    case "tc": {
      const device = devices.get(hook.iface);
      const priority = hook.priority ?? 1;
      const taken = device && listBpfFilters(socket, device.index, hook.direction).find((f) => f.priority === priority);
      if (!taken) return [];
      return error(
        `filter ${taken.name ?? taken.handle} has priority ${priority}`,
        "choose another priority, or replace it",
      );
    }
    case "netfilter": {
      const priority = hook.priority ?? 0;
      const taken = listLinkObjects().find(
        ({ hook: h }) =>
          h?.kind === "netfilter" && h.family === hook.family && h.point === hook.point && h.priority === priority,
      );
      // The kernel does not tell the namespace of a netfilter link: it may be another one.
      if (!taken) return [];
      const reason = `link ${taken.id} has priority ${priority}, here or in another network namespace`;
      return [{ severity: "warning", place, reason, remedy: "choose another priority if attaching fails with EBUSY" }];
    }
    default:
      return [];
  }
}

function checkNeighbours(
  order: Order,
  { programs, revision }: ReturnType<typeof queryPrograms>,
  error: (reason: string, remedy: string) => Finding[],
): Finding[] {
  const anchor = order.before ?? order.after;
  if (order.expectedRevision !== undefined && order.expectedRevision !== revision) {
    return error(
      `the hook is at revision ${revision}, expected ${order.expectedRevision}`,
      "look at it anew, and decide again",
    );
  }
  if (anchor === undefined || anchor === "all") return [];
  const there = programs.some((p) => ("link" in anchor ? p.linkId === anchor.link : p.progId === anchor.program));
  if (there) return [];
  const what = "link" in anchor ? `link ${anchor.link}` : `program ${anchor.program}`;
  const others = programs.map((p) => ("link" in anchor ? p.linkId : p.progId)).join(", ") || "none";
  return error(`${what} is not attached there, to be next to`, `name one of those there: ${others}`);
}
