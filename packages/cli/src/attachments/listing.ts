/**
 * Everything that is attached, as seen from the calling thread's network namespace, whoever attached it and by which
 * of the kernel's ways: links, programs without a link, netlink XDP, tc filters, routes.
 */
import { closeSync, openSync } from "node:fs";
import { Errno, SysError } from "@ebplane/core/errors";
import {
  AttachType,
  CGROUP_HOOKS,
  type CgroupHookType,
  type Hook,
  hookText,
  type LwtHook,
  MapType,
  SOCKMAP_HOOKS,
  type TcHook,
} from "@ebplane/core/object";
import { type LinkDescription, libxdpOn, listLinkObjects, queryPrograms, traceTarget } from "@ebplane/linux";
import { fdById, mapInfo, objectIds, progInfo } from "@ebplane/linux/bpf";
import { SOCKMAP_TYPES } from "@ebplane/linux/link";
import {
  type FilterPlace,
  type LinkInfo,
  listBpfFilters,
  listLinks,
  listQdiscs,
  listRoutes,
  NETLINK_ROUTE,
  NetlinkSocket,
  type RouteSpec,
} from "@ebplane/linux/netlink";
import { cgroupPaths } from "./cgroups.ts";
import { type AttachmentRecord, readRecords, recordText } from "./records.ts";

/** The way in which it is attached, with what detaching needs. */
export type Way =
  | { readonly by: "link"; readonly id: number }
  | { readonly by: "xdp"; readonly index: number; readonly mode: "native" | "generic" | "offload" | "multi" }
  /** A member of libxdp's dispatcher. */
  | { readonly by: "libxdp"; readonly index: number; readonly program: number }
  | { readonly by: "filter"; readonly place: FilterPlace }
  | { readonly by: "program"; readonly target: Target; readonly attachType: number }
  | { readonly by: "route"; readonly route: RouteSpec }
  /** Several links could be the one that is meant. */
  | { readonly by: "one of"; readonly links: readonly number[] }
  /** Only our record is left: the device, namespace or control group is gone. */
  | { readonly by: "record" };

export type Target = { readonly index: number } | { readonly path: string } | { readonly map: number };

export interface Attached {
  /** The hook's text; for what ebplane has no words, the kernel's kind of link. */
  readonly text: string;
  readonly hook: Hook | undefined;
  /** 0 where the kernel does not tell. */
  readonly progId: number;
  readonly progName: string;
  /** 0 without a link. */
  readonly linkId: number;
  readonly mode: string | undefined;
  /** What we left in bpffs, where it was this command that attached. */
  readonly record: AttachmentRecord | undefined;
  /** True when what it was attached to is gone. */
  readonly gone: boolean;
  readonly way: Way;
}

/** Whether it is known from our record alone to be in another network namespace than this one. */
export function isElsewhere({ record }: Attached, netns: number): boolean {
  return record?.netns !== undefined && record.netns !== netns;
}

const THREAD_NETNS = "/proc/thread-self/ns/net";

/** @throws SysError EPERM without CAP_SYS_ADMIN. */
export function listAttached(netns: number): Attached[] {
  const records = readRecords();
  const links = listLinkObjects();
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  const devices = listLinks(socket);
  const xdp = xdpAttached(devices, links, records, netns);
  const members = new Set(xdp.filter(({ way }) => way.by === "libxdp").map(({ progId }) => progId));
  const found: Found[] = [
    ...xdp,
    ...devices.flatMap(tcxAttached),
    ...filtersAttached(socket, devices),
    ...routesAttached(socket, devices),
    ...netnsAttached(links, netns),
    ...cgroupsAttached(links),
    ...sockmapsAttached(links),
    ...elsewhere(links.filter(({ type, progId }) => type !== "tracing" || !members.has(progId))),
  ];
  const recordOf = (f: Found): AttachmentRecord | undefined =>
    records.find((r) => (f.linkId ? r.linkId === f.linkId : isRecordOf(r, f, netns)));
  const used = new Set<AttachmentRecord>();
  const attached = found.map((f): Attached => {
    const record = recordOf(f);
    if (record) used.add(record);
    // Of what belongs to no namespace the kernel tells less than our record, or nothing.
    const told = f.hook && f.way.by !== "link" ? true : f.hook && IN_PLACE.has(f.hook.kind);
    const hook = told ? f.hook : (record?.hook ?? f.hook);
    const { progId, linkId = 0, mode, way } = f;
    return {
      text: hook ? hookText(hook) : (f.text ?? ""),
      hook,
      progId,
      progName: programName(progId),
      linkId,
      mode,
      record,
      gone: false,
      way,
    };
  });
  return [...attached, ...records.filter((r) => !used.has(r)).flatMap((r) => leftOver(r, links, netns))];
}

/** Hooks that the kernel tells in full. */
const IN_PLACE: ReadonlySet<Hook["kind"]> = new Set([
  "xdp",
  "tcx",
  "netkit",
  "netns",
  "netfilter",
  "cgroup",
  "sockmap",
]);

interface Found {
  readonly hook?: Hook;
  readonly text?: string;
  readonly progId: number;
  readonly linkId?: number;
  readonly mode?: string;
  readonly way: Way;
}

/** Records without a link are known by their hook. */
function isRecordOf(record: AttachmentRecord, found: Found, netns: number): boolean {
  return (
    record.linkId === 0 &&
    (record.netns === undefined || record.netns === netns) &&
    found.hook !== undefined &&
    record.hook !== undefined &&
    recordText(record.hook) === recordText(found.hook)
  );
}

function xdpAttached(
  devices: readonly LinkInfo[],
  links: readonly LinkDescription[],
  records: readonly AttachmentRecord[],
  netns: number,
): Found[] {
  return devices.flatMap(({ index, name, xdp }): Found[] => {
    if (!xdp) return [];
    const libxdp = libxdpOn(index);
    if (libxdp) {
      return libxdp.members.map(({ program }) => ({
        hook: { kind: "xdp", iface: name, mode: libxdp.mode },
        progId: program,
        mode: libxdp.mode,
        way: { by: "libxdp", index, program },
      }));
    }
    // The kernel gives a link's device by number, and numbers repeat across namespaces: our records know better.
    const candidates = links.filter((l) => l.type === "xdp" && l.ifindex === index && l.progId === xdp.progId);
    const recorded = (l: LinkDescription): AttachmentRecord | undefined => records.find((r) => r.linkId === l.id);
    const mine = candidates.filter((l) => recorded(l)?.netns === netns);
    const possible = mine.length ? mine : candidates.filter((l) => recorded(l) === undefined);
    const mode = xdp.mode === "native" || xdp.mode === "generic" ? xdp.mode : "auto";
    const base = { hook: { kind: "xdp", iface: name, mode }, progId: xdp.progId, mode: xdp.mode } as const;
    if (possible.length > 1) return [{ ...base, way: { by: "one of", links: possible.map((l) => l.id) } }];
    const link = possible[0];
    if (link) return [{ ...base, linkId: link.id, way: { by: "link", id: link.id } }];
    return [{ ...base, way: { by: "xdp", index, mode: xdp.mode } }];
  });
}

function tcxAttached({ index, name }: LinkInfo): Found[] {
  return (["ingress", "egress"] as const).flatMap((direction) => {
    const attachType = direction === "ingress" ? AttachType.BPF_TCX_INGRESS : AttachType.BPF_TCX_EGRESS;
    return query({ index }, attachType).map(({ progId, linkId }) => ({
      hook: { kind: "tcx", iface: name, direction } as const,
      progId,
      linkId,
      way: linkId ? ({ by: "link", id: linkId } as const) : ({ by: "program", target: { index }, attachType } as const),
    }));
  });
}

function filtersAttached(socket: NetlinkSocket, devices: readonly LinkInfo[]): Found[] {
  const names = new Map(devices.map((d) => [d.index, d.name]));
  const indexes = new Set(
    listQdiscs(socket)
      .filter(({ kind }) => kind === "clsact" || kind === "ingress")
      .map(({ index }) => index),
  );
  return [...indexes].flatMap((index) =>
    (["ingress", "egress"] as const).flatMap((direction) =>
      listBpfFilters(socket, index, direction).map(({ priority, handle, progId = 0, protocol }): Found => {
        const hook: TcHook = { kind: "tc", iface: names.get(index) ?? `if${index}`, direction, priority };
        return { hook, progId, way: { by: "filter", place: { index, direction, priority, handle, protocol } } };
      }),
    ),
  );
}

function routesAttached(socket: NetlinkSocket, devices: readonly LinkInfo[]): Found[] {
  return listRoutes(socket).flatMap(({ dst, via, oif, metric, table, bpf }) => {
    const route: RouteSpec = { dst, via, oif, metric, table };
    return (["in", "out", "xmit", "seg6local"] as const).flatMap((direction): Found[] => {
      const name = bpf?.[direction];
      if (name === undefined) return [];
      const hook: LwtHook = {
        kind: "lwt",
        prefix: dst,
        direction,
        via,
        iface: devices.find((d) => d.index === oif)?.name,
      };
      // ebplane names a program NAME:ID here; the kernel keeps only the name.
      const progId = Number(/:(\d+)$/.exec(name)?.[1] ?? 0);
      return [{ hook, progId, way: { by: "route", route } }];
    });
  });
}

function netnsAttached(links: readonly LinkDescription[], netns: number): Found[] {
  const found = links
    .filter((l) => l.type === "netns" && l.detail === `net:[${netns}]`)
    .map(({ hook, progId, id }): Found => ({ hook, progId, linkId: id, way: { by: "link", id } }));
  const attachType = AttachType.BPF_FLOW_DISSECTOR;
  const target = { path: THREAD_NETNS };
  const hook = { kind: "netns", type: "flow_dissector" } as const;
  const without = query(target, attachType).filter(({ progId }) => !found.some((f) => f.progId === progId));
  return [
    ...found,
    ...without.map(({ progId }): Found => ({ hook, progId, way: { by: "program", target, attachType } })),
  ];
}

function cgroupsAttached(links: readonly LinkDescription[]): Found[] {
  const paths = cgroupPaths();
  const found = links.flatMap(({ type, hook, progId, id }): Found[] => {
    if (type !== "cgroup" || hook?.kind !== "cgroup") return [];
    const cgroup = BigInt(/\d+/.exec(hook.path)?.[0] ?? 0);
    if (cgroup === 0n) return []; // Removed: the link lives on, attached to nothing.
    return [
      { hook: { ...hook, path: paths.get(cgroup) ?? hook.path }, progId, linkId: id, way: { by: "link", id } as const },
    ];
  });
  const linked = new Set(found.map(({ hook, progId }) => `${progId} ${hookText(hook!)}`));
  for (const path of paths.values()) {
    for (const [type, name] of Object.entries(CGROUP_HOOKS)) {
      const hook = { kind: "cgroup", path, type: type as CgroupHookType } as const;
      const attachType = AttachType[name];
      for (const { progId } of query({ path }, attachType)) {
        if (linked.has(`${progId} ${hookText(hook)}`)) continue;
        found.push({ hook, progId, way: { by: "program", target: { path }, attachType } });
      }
    }
  }
  return found;
}

/** Programs of socket maps that were attached without a link: before Linux 6.10, or by bpftool. */
function sockmapsAttached(links: readonly LinkDescription[]): Found[] {
  const linked = new Set(links.map(({ hook, progId }) => hook?.kind === "sockmap" && `${progId} ${recordText(hook)}`));
  return objectIds("map").flatMap((id) => {
    const spec = socketMapSpec(id);
    if (!spec) return [];
    return SOCKMAP_HOOKS.flatMap((type) => {
      const hook = { kind: "sockmap", map: { id, spec }, type } as const;
      const attachType = SOCKMAP_TYPES[type];
      const target = { map: id };
      return query(target, attachType)
        .filter(({ progId }) => !linked.has(`${progId} ${recordText(hook)}`))
        .map(({ progId }): Found => ({ hook, progId, way: { by: "program", target, attachType } }));
    });
  });
}

const SOCKET_MAPS: readonly number[] = [MapType.BPF_MAP_TYPE_SOCKMAP, MapType.BPF_MAP_TYPE_SOCKHASH];

function socketMapSpec(id: number): { name: string } | undefined {
  const fd = fdById("map", id);
  if (fd === undefined) return undefined;
  try {
    const { type, name } = mapInfo(fd);
    return SOCKET_MAPS.includes(type) ? { name } : undefined;
  } finally {
    closeSync(fd);
  }
}

/** Links that belong to no device, namespace or control group that was asked above. */
function elsewhere(links: readonly LinkDescription[]): Found[] {
  return links
    .filter(({ type }) => !["xdp", "tcx", "netns", "cgroup"].includes(type))
    .map(({ type, hook, traced, detail, progId, id }) => ({
      hook: traced && hook?.kind === "trace" ? { kind: "trace", target: traceTarget(traced) } : hook,
      text: detail ? `${type}: ${detail}` : type,
      progId,
      linkId: id,
      way: { by: "link", id },
    }));
}

/** A record that nothing here answers to: of another namespace, or of what is gone. */
function leftOver(record: AttachmentRecord, links: readonly LinkDescription[], netns: number): Attached {
  const link = links.find((l) => l.id === record.linkId && record.linkId !== 0);
  const elsewhere = record.netns !== undefined && record.netns !== netns;
  const progId = link?.progId ?? 0;
  return {
    text: record.hook ? hookText(record.hook) : "",
    hook: record.hook,
    progId,
    progName: programName(progId),
    linkId: record.linkId,
    mode: undefined,
    record,
    // Of another namespace's device the link tells: without one its number is 0.
    gone: !elsewhere || (link !== undefined && (link.type === "xdp" || link.type === "tcx") && link.ifindex === 0),
    way: elsewhere && link ? { by: "link", id: link.id } : { by: "record" },
  };
}

/** The programs at one place, or none where this kernel has no such place. */
function query(target: Target, attachType: number): ReturnType<typeof queryPrograms>["programs"] {
  try {
    return withTarget(target, (number) => queryPrograms(number, attachType).programs);
  } catch (error) {
    // EBUSY is a socket map's answer where a link has the place: links are listed of themselves.
    const none: readonly number[] = [Errno.EBUSY, Errno.EINVAL, Errno.ENODEV, Errno.EBADF, Errno.EOPNOTSUPP];
    if (error instanceof SysError && none.includes(error.errno)) return [];
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Runs `body` with the number that bpf(2) takes for a target. */
export function withTarget<T>(target: Target, body: (number: number) => T): T {
  if ("index" in target) return body(target.index);
  const fd = "map" in target ? fdById("map", target.map) : openSync(target.path, "r");
  if (fd === undefined) return body(-1); // Gone meanwhile: EBADF.
  try {
    return body(fd);
  } finally {
    closeSync(fd);
  }
}

function programName(id: number): string {
  const fd = id ? fdById("prog", id) : undefined;
  if (fd === undefined) return "";
  try {
    return progInfo(fd).name;
  } finally {
    closeSync(fd);
  }
}
