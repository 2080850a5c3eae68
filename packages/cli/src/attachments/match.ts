/** Whether something attached is what a hook's text asks for. */
import { realpathSync } from "node:fs";
import { type Hook, hookText } from "@ebplane/core/object";
import { formatCidr, parseCidr } from "@ebplane/core/wire";
import { objectName } from "@ebplane/linux/bpf";
import type { Attached } from "./listing.ts";

/** What the text leaves open (XDP mode, priority) matches anything. */
export function atHook(asked: Hook, attached: Attached): boolean {
  const { hook } = attached;
  if (!hook || hook.kind !== asked.kind) return false;
  switch (asked.kind) {
    case "xdp": {
      const there = hook as typeof asked;
      return there.iface === asked.iface && (asked.mode === "auto" || there.mode === asked.mode);
    }
    case "tc": {
      const there = hook as typeof asked;
      const samePlace = there.iface === asked.iface && there.direction === asked.direction;
      return samePlace && (asked.priority === undefined || there.priority === asked.priority);
    }
    case "netfilter": {
      const there = hook as typeof asked;
      const samePlace = there.family === asked.family && there.point === asked.point;
      return samePlace && (asked.priority === undefined || there.priority === asked.priority);
    }
    case "cgroup": {
      const there = hook as typeof asked;
      return there.type === asked.type && realPath(there.path) === realPath(asked.path);
    }
    case "lwt": {
      const there = hook as typeof asked;
      return there.direction === asked.direction && normalPrefix(there.prefix) === normalPrefix(asked.prefix);
    }
    case "sockmap": {
      const there = hook as typeof asked;
      const { id, spec } = asked.map;
      const sameMap = id ? there.map.id === id : there.map.spec.name === objectName(spec.name);
      return sameMap && there.type === asked.type;
    }
    case "trace":
      return asked.target === undefined || hookText(hook) === hookText(asked);
    case "tracepoint": {
      // Of others' the kernel does not tell the group.
      const there = hook as typeof asked;
      return there.name === asked.name && (there.group === asked.group || there.group === "?");
    }
    default:
      return hookText(hook) === hookText(asked);
  }
}

/** A prefix as the kernel writes it. @throws RangeError for what is none. */
export function normalPrefix(prefix: string): string {
  return formatCidr(parseCidr(prefix));
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
