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
  type SockmapHook,
} from "@ebplane/core/object";
import {
  BpfLink,
  type ChainOptions,
  type Checked,
  chainPrograms,
  checkedMember,
  DEFAULT_PRIORITY,
  ensureBpffs,
  joinLibxdp,
  type LinuxCollection,
  LinuxMap,
  libxdpOn,
  linuxProgram,
  linuxTarget,
  openLink,
  openMap,
  openProgram,
  StructOps,
  type Where,
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
import { chainOf, joinChain, type NewMember, settleChain, writeChain } from "./chain.ts";
import { type Attached, isElsewhere, listAttached } from "./listing.ts";
import { atHook, normalPrefix } from "./match.ts";
import {
  type AttachmentRecord,
  createRecord,
  linkPin,
  type Mark,
  mapPin,
  mapPins,
  recordText,
  removeRecord,
} from "./records.ts";

/** What is attached: a program of an object, or one that is loaded already. */
export type Source =
  | {
      readonly spec: CollectionSpec;
      /** Undefined for struct_ops, which the hook names. */
      readonly program: string | undefined;
    }
  | { readonly live: Where };

export interface AttachRequest {
  readonly source: Source;
  /** Of a socket map: as its text says it. */
  readonly hook: Hook;
  /** The socket map, where it is not one of the object's own. */
  readonly socketMap: Where | undefined;
  /** XDP: programs that run one after the other, each on the chain-call actions of the one before. */
  readonly following: readonly { readonly spec: CollectionSpec; readonly program: string }[];
  /** XDP: the place in the chain. */
  readonly chain: ChainOptions;
  /** XDP: as a member of libxdp's dispatcher, made where there is none. */
  readonly libxdp: boolean;
  /** XDP: beside what this command has attached there, as one chain. */
  readonly join: boolean;
  /** Inode of the namespace that the thread is in. */
  readonly netns: number;
  /** Puts the program in the place of the one that is there. */
  readonly replace: boolean;
  /** Where maps that ask for pinning by name are shared. */
  readonly pinDirectory: string;
  /** Live maps in place of the object's: pins or ids, by the map's name. */
  readonly reuse: ReadonlyMap<string, Where>;
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
  /** How many programs the chain has now that it has joined. */
  readonly joined?: number;
  readonly maps: readonly { readonly name: string; readonly id: number; readonly pin: string | undefined }[];
}

/** Hooks that belong to a network namespace; the others are the whole system's. */
const IN_NETNS: ReadonlySet<Hook["kind"]> = new Set(["xdp", "tcx", "tc", "netns", "netfilter", "lwt"]);
/** Hooks where nothing has to hold the attachment. */
const STAYS: ReadonlySet<Hook["kind"]> = new Set(["tc", "lwt", "sockmap"]);

export function attachAndKeep(request: AttachRequest): AttachAnswer {
  const { source } = request;
  if (request.libxdp) return attachToLibxdp(request);
  let hook = request.hook;
  const beside = request.join ? toJoin(hook, request.netns) : undefined;
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
  let live: LinuxProgram | undefined;
  let extended: LinuxProgram | undefined;
  const after: LinuxCollection[] = [];
  let chain: LinuxProgram | undefined;
  try {
    const reuse = new Map<string, BpfMap>();
    for (const [map, where] of request.reuse) {
      const live = openMap(where);
      opened.push(live);
      reuse.set(map, live);
    }
    const boundTo = request.bound && hook.kind === "xdp" ? target.ifindex(hook.iface) : undefined;
    if ("spec" in source) {
      const chosen = hook.kind === "struct_ops" ? { structOps: [hook.name] } : { programs: [source.program!] };
      const own = hook.kind === "sockmap" && !request.socketMap ? [hook.map.spec.name] : undefined;
      if (hook.kind === "freplace") {
        const { program } = hook;
        extended = openProgram(typeof program === "number" ? { id: program } : { path: program });
      }
      collection = target.load(source.spec, {
        ...chosen,
        targetProgram: extended,
        maps: own,
        reuse,
        pinDirectory: request.pinDirectory,
        boundTo,
      });
      request.fill(collection.maps);
    } else live = openProgram(source.live);
    const first =
      live ??
      (hook.kind === "struct_ops"
        ? collection!.structOps.get(hook.name)!
        : linuxProgram(collection!.programs.get((source as { program: string }).program)!));
    for (const next of request.following) {
      after.push(target.load(next.spec, { programs: [next.program], pinDirectory: request.pinDirectory, boundTo }));
    }
    if (hook.kind === "sockmap") hook = { ...hook, map: socketMap(hook, request.socketMap, collection, opened) };
    const members =
      hook.kind === "xdp" && !live && !(first instanceof StructOps) ? membersOf(request, first, after) : [];
    if (beside) chain = joinChain(beside, members);
    else if (members.length > 1 || request.chain.chainCallActions) chain = chainPrograms(members);
    const program = chain ?? first;
    const names = [
      first instanceof StructOps ? first.plan.spec.name : first.spec.name,
      ...request.following.map((next) => next.program),
    ];
    const maps = mapsOf([...(collection ? [collection] : []), ...after]);
    const answer = (linkId: number, record: AttachmentRecord | undefined, link?: Link<Hook>): AttachAnswer => ({
      hook,
      program: names.join(", then "),
      progId: program instanceof StructOps ? 0 : program.id,
      linkId,
      mode: hook.kind === "xdp" ? link?.mode : undefined,
      fallbackReason: link?.fallbackReason,
      replaced: old?.progId,
      maps: [...maps].map(([map, { id }]) => ({ name: map, id, pin: record && pinOf(record, map, id) })),
    });
    if (beside && chain) {
      const { record } = beside;
      pinMaps(record!, maps);
      return { ...answer(beside.linkId, record), joined: chainOf({ record, progId: chain.id }).length };
    }
    if (old) {
      const record = replaceProgram(old, program, maps, members);
      return answer(old.linkId, record);
    }
    const link = program instanceof StructOps ? program.attach() : target.attach(program, hook);
    const linkId = keep(link, hook, request.netns, maps, marks, members);
    return answer(linkId.id, linkId.record, link);
  } finally {
    chain?.close();
    live?.close();
    extended?.close();
    for (const made of after) made.close();
    collection?.close();
    for (const map of opened) map.close();
  }
}

/** libxdp's files in bpffs hold the program: there is nothing of ours to keep. */
function attachToLibxdp({ source, hook, chain, pinDirectory, reuse, fill }: AttachRequest): AttachAnswer {
  if (hook.kind !== "xdp" || !("spec" in source)) throw new UsageError("libxdp takes an xdp program of an object");
  const opened = new Map([...reuse].map(([name, where]) => [name, openMap(where)]));
  try {
    const options = { ...chain, reuse: opened, pinDirectory, prepare: fill };
    using made = joinLibxdp(source.spec, source.program!, hook, options);
    const there = libxdpOn(ifindex(hook.iface));
    return {
      hook,
      program: source.program!,
      progId: made.programs.get(source.program!)!.id,
      linkId: 0,
      mode: there?.mode,
      fallbackReason: undefined,
      replaced: undefined,
      joined: there?.members.length,
      maps: [...made.maps].map(([name, { id }]) => ({ name, id, pin: undefined })),
    };
  } finally {
    for (const map of opened.values()) map.close();
  }
}

/** The programs as members of a chain, all with the place that the request gives. */
function membersOf(
  { chain, following }: AttachRequest,
  first: LinuxProgram,
  after: readonly LinuxCollection[],
): NewMember[] {
  const { priority = DEFAULT_PRIORITY, chainCallActions } = chain;
  const programs = [first, ...after.map((made, i) => linuxProgram(made.programs.get(following[i]!.program)!))];
  return programs.map((program) => ({ program, priority, chainCallActions }));
}

/** The live map that a hook's text means: one of the object's own by name, else a file, id or name of the kernel's. */
function socketMap(
  { map: { spec } }: SockmapHook,
  where: Where | undefined,
  collection: LinuxCollection | undefined,
  opened: LinuxMap[],
): LinuxMap {
  const own = where === undefined ? collection?.maps.get(spec.name) : undefined;
  if (own instanceof LinuxMap) return own;
  if (!where) throw new UsageError(`map ${spec.name}: the object has no such map`);
  const map = openMap(where);
  opened.push(map);
  return map;
}

type Maps = ReadonlyMap<string, BpfMap>;

/** The maps of all that was loaded; a name that was there before gets a number. */
function mapsOf(collections: readonly Collection[]): Maps {
  const maps = new Map<string, BpfMap>();
  for (const { maps: own } of collections) {
    for (const [name, map] of own) {
      maps.set(
        freeName(name, (other) => maps.has(other)),
        map,
      );
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
  members: readonly NewMember[],
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
    if (link instanceof BpfLink && members.length) {
      writeChain(record, link.info().progId, members);
      settleChain(record);
    }
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
        recordText(r.hook) === recordText(hook),
    );
}

/** The file of the map; of one that had to take another name by its id. */
function pinOf(record: AttachmentRecord, name: string, id: number): string | undefined {
  return mapPins(record).find(({ name: pinned, path }) => {
    if (!pinned.startsWith(name)) return false;
    using map = openMap({ path });
    return map.id === id;
  })?.path;
}

/** A name that another member's map has already gets a number. */
function pinMaps(record: AttachmentRecord, maps: Maps): void {
  const taken = new Set(mapPins(record).map((pin) => pin.name));
  for (const [name, map] of maps) {
    if (!(map instanceof LinuxMap)) continue;
    const free = freeName(name, (other) => taken.has(other));
    taken.add(free);
    objPin(map.fd, mapPin(record, free));
  }
}

function freeName(name: string, taken: (name: string) => boolean): string {
  let free = name;
  for (let n = 2; taken(free); n++) free = `${name}_${n}`;
  return free;
}

/** The chain at a hook as preflight looks at it: its programs, and the link that it is attached by. */
export function chainAt(hook: Hook, netns: number): { link: number; members: readonly Checked[] } | undefined {
  const there = toJoin(hook, netns);
  return there && { link: there.linkId, members: chainOf(there).map(checkedMember) };
}

/** What is at the hook to be joined; undefined where nothing is. @throws UsageError for a hook without chains. */
function toJoin(hook: Hook, netns: number): Attached | undefined {
  if (hook.kind !== "xdp") throw new UsageError(`--join: only xdp programs are chained, got ${hookText(hook)}`);
  return listAttached(netns).find((a) => atHook(hook, a) && !isElsewhere(a, netns));
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
function replaceProgram(
  old: Attached,
  program: Program | StructOps,
  maps: Maps,
  members: readonly NewMember[],
): AttachmentRecord | undefined {
  const { record } = old;
  if (!(program instanceof LinuxProgram || program instanceof StructOps))
    throw new TypeError(`program ${program.spec.name}: expected a live program`);
  if (old.way.by === "link") {
    const link = openLink({ id: old.way.id });
    try {
      if (record && program instanceof LinuxProgram && members.length) writeChain(record, program.id, members);
      if (program instanceof StructOps) program.replace(link);
      else link.update(program);
      if (record && members.length) settleChain(record);
    } finally {
      link.close();
    }
  } else if (old.way.by === "filter" && program instanceof LinuxProgram) {
    using socket = new NetlinkSocket(NETLINK_ROUTE);
    setBpfFilter(socket, old.way.place, program.fd, program.spec.name, true);
  }
  if (!record) return undefined;
  for (const { path } of mapPins(record)) unlinkSync(path);
  pinMaps(record, maps);
  return record;
}

function hasClsact(iface: string): boolean {
  const index = ifindex(iface);
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  return listQdiscs(socket).some((q) => q.index === index && (q.kind === "clsact" || q.kind === "ingress"));
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
