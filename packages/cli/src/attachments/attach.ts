/**
 * Attaches a program so that it stays when the command ends: links are pinned with their maps, filters and routes stay
 * of themselves. Whatever fails, nothing stays behind.
 */
import { unlinkSync } from "node:fs";
import { BpfError } from "@ebplane/core/errors";
import {
  type BpfMap,
  type Collection,
  type CollectionSpec,
  type Hook,
  hookText,
  type Link,
  type LwtHook,
  type Program,
} from "@ebplane/core/object";
import {
  BpfLink,
  chainPrograms,
  ensureBpffs,
  type LinuxCollection,
  LinuxMap,
  linuxTarget,
  openLink,
  openMap,
  StructOps,
} from "@ebplane/linux";
import { LinuxProgram, objPin } from "@ebplane/linux/bpf";
import { ifindex } from "@ebplane/linux/link";
import {
  listLinks,
  listQdiscs,
  listRoutes,
  NETLINK_ROUTE,
  NetlinkSocket,
  RT_TABLE_MAIN,
  setBpfFilter,
} from "@ebplane/linux/netlink";
import { UsageError } from "../failure.ts";
import { type Attached, isElsewhere, listAttached } from "./listing.ts";
import { atHook, normalPrefix } from "./match.ts";
import { type AttachmentRecord, createRecord, linkPin, type Mark, mapPin, mapPins, removeRecord } from "./records.ts";

export interface AttachRequest {
  readonly spec: CollectionSpec;
  /** Undefined for struct_ops, which the hook names. */
  readonly program: string | undefined;
  readonly hook: Hook;
  /** XDP: programs that run one after the other when the one before has passed the packet. */
  readonly following: readonly { readonly spec: CollectionSpec; readonly program: string }[];
  /** Inode of the namespace that the thread is in. */
  readonly netns: number;
  /** Puts the program in the place of the one that is there. */
  readonly replace: boolean;
  /** Where maps that ask for pinning by name are shared. */
  readonly pinDirectory: string;
  /** Live maps in place of the object's: pins or ids, by the map's name. */
  readonly reuse: ReadonlyMap<string, { readonly path: string } | { readonly id: number }>;
  /** XDP: only for the hook's device, whose metadata functions it may then call. */
  readonly bound: boolean;
  /** Puts more into the maps than the object's own contents. */
  readonly fill: (maps: ReadonlyMap<string, BpfMap>) => void;
}

export interface AttachAnswer {
  readonly hook: Hook;
  readonly program: string;
  readonly progId: number;
  readonly linkId: number;
  readonly mode: string | undefined;
  readonly fallbackReason: string | undefined;
  readonly replaced: number | undefined;
  readonly maps: readonly { readonly name: string; readonly id: number; readonly pin: string | undefined }[];
}

/** Hooks that belong to a network namespace; the others are the whole system's. */
const IN_NETNS: ReadonlySet<Hook["kind"]> = new Set(["xdp", "tcx", "tc", "netns", "netfilter", "lwt"]);
/** Hooks where nothing has to hold the attachment. */
const STAYS: ReadonlySet<Hook["kind"]> = new Set(["tc", "lwt"]);

export function attachAndKeep(request: AttachRequest): AttachAnswer {
  const { spec, program: name } = request;
  let hook = request.hook;
  const old = request.replace ? toReplace(hook, request.netns) : undefined;
  if (!STAYS.has(hook.kind)) ensureBpffs();
  const marks: Mark[] = [];
  if (hook.kind === "lwt") {
    const onRoute = lwtRoute(hook);
    hook = onRoute.hook;
    if (onRoute.exists) marks.push("route");
  }
  if (hook.kind === "tc") {
    hook = { ...hook, priority: hook.priority ?? 1 };
    if (!hasClsact(hook.iface)) marks.push("clsact");
  }
  const opened: LinuxMap[] = [];
  const target = linuxTarget();
  let collection: LinuxCollection | undefined;
  const after: LinuxCollection[] = [];
  let chain: LinuxProgram | undefined;
  try {
    const reuse = new Map<string, BpfMap>();
    for (const [map, where] of request.reuse) {
      const live = openMap(where);
      opened.push(live);
      reuse.set(map, live);
    }
    const chosen = hook.kind === "struct_ops" ? { structOps: [hook.name] } : { programs: [name!] };
    const boundTo = request.bound && hook.kind === "xdp" ? target.ifindex(hook.iface) : undefined;
    collection = target.load(spec, { ...chosen, reuse, pinDirectory: request.pinDirectory, boundTo });
    request.fill(collection.maps);
    const first = hook.kind === "struct_ops" ? collection.structOps.get(hook.name)! : collection.programs.get(name!)!;
    for (const next of request.following) {
      after.push(target.load(next.spec, { programs: [next.program], pinDirectory: request.pinDirectory, boundTo }));
    }
    if (after.length && !(first instanceof StructOps)) {
      chain = chainPrograms([first, ...after.map((made, i) => made.programs.get(request.following[i]!.program)!)]);
    }
    const program = chain ?? first;
    const maps = mapsOf([collection, ...after]);
    const answer = (linkId: number, record: AttachmentRecord | undefined, link?: Link<Hook>): AttachAnswer => ({
      hook,
      program: [name ?? hookName(hook), ...request.following.map((next) => next.program)].join(", then "),
      progId: program instanceof StructOps ? 0 : program.id,
      linkId,
      mode: hook.kind === "xdp" ? link?.mode : undefined,
      fallbackReason: link?.fallbackReason,
      replaced: old?.progId,
      maps: [...maps].map(([map, { id }]) => ({
        name: map,
        id,
        pin: record && mapPins(record).find((p) => p.name === map)?.path,
      })),
    });
    if (old) {
      const record = replaceProgram(old, program, maps);
      return answer(old.linkId, record);
    }
    const link = program instanceof StructOps ? program.attach() : target.attach(program, hook);
    const linkId = keep(link, hook, request.netns, maps, marks);
    return answer(linkId.id, linkId.record, link);
  } finally {
    chain?.close();
    for (const made of after) made.close();
    collection?.close();
    for (const map of opened) map.close();
  }
}

type Maps = ReadonlyMap<string, BpfMap>;

/** The maps of all that was loaded; a name that was there before gets a number. */
function mapsOf(collections: readonly Collection[]): Maps {
  const maps = new Map<string, BpfMap>();
  for (const { maps: own } of collections) {
    for (const [name, map] of own) {
      let free = name;
      for (let n = 2; maps.has(free); n++) free = `${name}_${n}`;
      maps.set(free, map);
    }
  }
  return maps;
}

/** Pins what has to be held. The link is closed or, where closing would detach, left alone. */
function keep(
  link: Link<Hook>,
  hook: Hook,
  netns: number,
  maps: Maps,
  marks: readonly Mark[],
): { id: number; record: AttachmentRecord | undefined } {
  let record: AttachmentRecord | undefined;
  try {
    if (!(link instanceof BpfLink)) {
      if (hook.kind === "struct_ops") {
        throw new BpfError(
          "EKEEP",
          `${hookText(hook)}: this kernel has no links for it (Linux 6.4): it ends with its process`,
        );
      }
      if (!STAYS.has(hook.kind)) {
        throw new BpfError("EKEEP", `${hookText(hook)}: this attachment ends with the process that makes it`);
      }
      try {
        ensureBpffs();
      } catch {
        return { id: 0, record: undefined };
      }
    }
    for (const stale of staleRecords(link.id, hook, netns)) removeRecord(stale);
    record = createRecord(link.id, IN_NETNS.has(hook.kind) ? netns : undefined, hook, marks);
    pinMaps(record, maps);
    if (link instanceof BpfLink) {
      link.pin(linkPin(record));
      link.close();
    }
    return { id: link.id, record };
  } catch (error) {
    if (record) removeRecord(record);
    link.close();
    throw error;
  }
}

/** Records of the same place that a dead device or a reused number left. */
function staleRecords(linkId: number, hook: Hook, netns: number): AttachmentRecord[] {
  return listAttached(netns)
    .filter(({ record, gone }) => gone && record !== undefined)
    .map(({ record }) => record!)
    .filter(
      (r) =>
        r.linkId === linkId &&
        (r.netns === undefined || r.netns === netns) &&
        r.hook !== undefined &&
        hookText(r.hook) === hookText(hook),
    );
}

function pinMaps(record: AttachmentRecord, maps: Maps): void {
  for (const [name, map] of maps) {
    if (map instanceof LinuxMap) objPin(map.fd, mapPin(record, name));
  }
}

/** The one attachment to replace. @throws UsageError when there is none, or several. */
function toReplace(hook: Hook, netns: number): Attached {
  const found = listAttached(netns).filter((a) => atHook(hook, a) && !isElsewhere(a, netns));
  const [only] = found;
  if (!only) throw new UsageError(`--replace: nothing is attached to ${hookText(hook)}`);
  if (found.length > 1) throw new UsageError(`--replace: ${found.length} programs are attached to ${hookText(hook)}`);
  if (only.way.by !== "link" && only.way.by !== "filter") {
    throw new UsageError(`--replace: ${only.text} was not attached by a link or filter: detach it first`);
  }
  return only;
}

/** Swaps the program atomically, and the pinned maps where they are ours. */
function replaceProgram(old: Attached, program: Program | StructOps, maps: Maps): AttachmentRecord | undefined {
  if (!(program instanceof LinuxProgram || program instanceof StructOps))
    throw new TypeError(`program ${program.spec.name}: expected a live program`);
  if (old.way.by === "link") {
    const link = openLink({ id: old.way.id });
    try {
      if (program instanceof StructOps) program.replace(link);
      else link.update(program);
    } finally {
      link.close();
    }
  } else if (old.way.by === "filter" && program instanceof LinuxProgram) {
    const socket = new NetlinkSocket(NETLINK_ROUTE);
    try {
      setBpfFilter(socket, old.way.place, program.fd, program.spec.name, true);
    } finally {
      socket.close();
    }
  }
  const { record } = old;
  if (!record) return undefined;
  for (const { path } of mapPins(record)) unlinkSync(path);
  pinMaps(record, maps);
  return record;
}

function hookName(hook: Hook): string {
  return "name" in hook ? hook.name : hookText(hook);
}

function hasClsact(iface: string): boolean {
  const index = ifindex(iface);
  const socket = new NetlinkSocket(NETLINK_ROUTE);
  try {
    return listQdiscs(socket).some((q) => q.index === index && (q.kind === "clsact" || q.kind === "ingress"));
  } finally {
    socket.close();
  }
}

const RTPROT_KERNEL = 2;

/**
 * The route that the program goes on: an existing one of the prefix keeps its gateway and device.
 * @throws UsageError when the route that is there goes elsewhere than asked, BpfError for the kernel's own.
 */
function lwtRoute(hook: LwtHook): { hook: LwtHook; exists: boolean } {
  const socket = new NetlinkSocket(NETLINK_ROUTE);
  try {
    const devices = listLinks(socket);
    // IPv6 gives routes without a metric 1024.
    const usual = hook.prefix.includes(":") ? 1024 : undefined;
    const there = listRoutes(socket).find(
      (r) => r.dst === normalPrefix(hook.prefix) && r.table === RT_TABLE_MAIN && r.metric === usual,
    );
    if (!there) return { hook, exists: false };
    if (there.bpf) {
      throw new BpfError("EEXIST", `${hookText(hook)}: a program is on this route already: detach it, or --replace`);
    }
    const iface = devices.find((d) => d.index === there.oif)?.name;
    const same = (hook.via ?? there.via) === there.via && (hook.iface ?? iface) === iface;
    if (!same) {
      const way = [there.via && `via ${there.via}`, iface && `dev ${iface}`].filter(Boolean).join(" ");
      throw new UsageError(
        `${hookText(hook)}: the route is there already, ${way}: without --via and --dev the program goes on it`,
      );
    }
    if (there.protocol === RTPROT_KERNEL || there.encapType !== 0 || iface === undefined) {
      throw new BpfError(
        "EROUTE",
        `${hookText(hook)}: the route there is not one to put a program on: add a narrower one`,
      );
    }
    return { hook: { ...hook, via: there.via, iface }, exists: true };
  } finally {
    socket.close();
  }
}
