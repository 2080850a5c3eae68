/**
 * Members of libxdp's dispatcher: several XDP programs on one interface, together with those that xdp-loader and other
 * users of that library loaded. The dispatcher is an XDP program with ten functions that do nothing; each member replaces
 * one (type ext). Who adds or takes away a member loads another dispatcher with the wanted number of functions, has the
 * members replace those too, keeps everything by files in bpffs, and puts it in the place of the old one.
 *
 * The dispatcher itself is libxdp's, from where the system has it; so both must be of one version of the protocol.
 * Source: xdp-tools lib/libxdp/protocol.org ("Protocol for atomic loading of multi-prog dispatchers").
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, unlinkSync } from "node:fs";
import { type Btf, type BtfVar, resolve } from "@ebplane/core/btf";
import { viewOf } from "@ebplane/core/bytes";
import { readElf, setVariables } from "@ebplane/core/elf";
import { BpfError, Errno, SysError, UnsupportedError } from "@ebplane/core/errors";
import {
  BPF_F_XDP_HAS_FRAGS,
  type CollectionSpec,
  hookText,
  type ProgramSpec,
  ProgType,
  XdpAction,
  type XdpActionName,
  type XdpHook,
} from "@ebplane/core/object";
import {
  BPFFS,
  ensureBpffs,
  fdById,
  LinuxMap,
  type LinuxProgram,
  lockDirectory,
  objGet,
  objPin,
  progInfo,
} from "../bpf/index.ts";
import { attachFreplace } from "../link/freplace.ts";
import { ifindex } from "../link/index.ts";
import { LIBXDP_DISPATCHER } from "../link/xdp.ts";
import { getLink, NETLINK_ROUTE, NetlinkSocket, setLinkXdp } from "../netlink/index.ts";
import { close, sleep } from "../sys/index.ts";
import { specOf } from "./compatible.ts";
import { actionMask, type ChainOptions, DEFAULT_CHAIN_CALL, DEFAULT_PRIORITY, MAX_CHAIN } from "./dispatcher.ts";
import { type LinuxCollection, type LinuxLoadOptions, linuxProgram, loadCollection } from "./load.ts";
import { openProgram } from "./open.ts";

const NAME = LIBXDP_DISPATCHER;
const MAGIC = 236;
/** The verdict of a function that nothing replaces: every member goes on after it. */
const RETVAL_BIT = 31;
const XDP_FLAGS_UPDATE_IF_NOEXIST = 1 << 0;
const XDP_FLAGS_SKB_MODE = 1 << 1;
const XDP_FLAGS_DRV_MODE = 1 << 2;
const XDP_FLAGS_REPLACE = 1 << 4;

export interface LibxdpMember {
  readonly program: number;
  readonly name: string;
  /** Lower runs first. */
  readonly priority: number;
  /** The verdicts after which the next one runs. */
  readonly chainCallActions: readonly XdpActionName[];
  readonly frags: boolean;
}

export interface LibxdpDispatcher {
  readonly program: number;
  readonly version: number;
  readonly mode: "native" | "generic";
  readonly members: readonly LibxdpMember[];
}

/** What libxdp has on a device (of the calling thread's namespace); undefined where it has nothing there. */
export function libxdpOn(index: number): LibxdpDispatcher | undefined {
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  const { xdp } = getLink(socket, index);
  if (!xdp || (xdp.mode !== "native" && xdp.mode !== "generic")) return undefined;
  const fd = fdById("prog", xdp.progId);
  if (fd === undefined) return undefined;
  try {
    const { name, mapIds } = progInfo(fd);
    const directory = directoryOf(index, xdp.progId);
    if (name !== NAME || mapIds.length !== 1 || !existsSync(directory)) return undefined;
    const config = readConfig(mapIds[0]!);
    if (!config) return undefined;
    const members = config.members.flatMap((member, i): LibxdpMember[] => {
      // Somebody may be taking the dispatcher away.
      const pin = objGet(`${directory}/prog${i}-prog`);
      if (pin === undefined) return [];
      try {
        const { id, name } = progInfo(pin);
        return [{ ...member, program: id, name }];
      } finally {
        close(pin);
      }
    });
    if (members.length < config.members.length) return undefined;
    return { program: xdp.progId, version: config.version, mode: xdp.mode, members };
  } finally {
    close(fd);
  }
}

/** Where libxdp keeps its dispatchers. */
function root(): string {
  return `${process.env.LIBXDP_BPFFS ?? BPFFS}/xdp`;
}

function directoryOf(index: number, program: number): string {
  return `${root()}/dispatch-${index}-${program}`;
}

/** A magic byte, version, number of members and whether frags go through; then ten each of actions, priorities, flags. */
const CONFIG = { actions: 4, priorities: 44, flags: 84, size: 124 } as const;

function readConfig(
  mapId: number,
): { readonly version: number; readonly members: readonly Omit<LibxdpMember, "program" | "name">[] } | undefined {
  const fd = fdById("map", mapId);
  if (fd === undefined) return undefined;
  using map = new LinuxMap(fd, specOf(fd));
  const bytes = map.spec.keySize === 4 && map.lookup(new Uint8Array(4));
  if (!bytes || bytes.length < CONFIG.size || bytes[0] !== MAGIC) return undefined;
  const view = viewOf(bytes);
  const members = Array.from({ length: Math.min(MAX_CHAIN, bytes[2]!) }, (_, i) => ({
    chainCallActions: actionsOf(view.getUint32(CONFIG.actions + 4 * i, true)),
    priority: view.getUint32(CONFIG.priorities + 4 * i, true),
    frags: (view.getUint32(CONFIG.flags + 4 * i, true) & BPF_F_XDP_HAS_FRAGS) !== 0,
  }));
  return { version: bytes[1]!, members };
}

function actionsOf(mask: number): XdpActionName[] {
  return (Object.keys(XdpAction) as XdpActionName[]).filter((name) => mask & (1 << XdpAction[name]));
}

export interface LibxdpOptions extends ChainOptions, LinuxLoadOptions {
  /** Puts something into the maps before packets come. */
  readonly prepare?: (maps: LinuxCollection["maps"]) => void;
}

/**
 * Loads one program of an object as a member of the dispatcher of a device, made where there is none yet. It stays when the
 * collection that is returned is closed, until `leaveLibxdp` or xdp-loader takes it away.
 * @throws UnsupportedError without libxdp's object, for a dispatcher of another version, for a program without types;
 * BpfError EBUSY beside a program that is not libxdp's.
 */
export function joinLibxdp(
  spec: CollectionSpec,
  name: string,
  hook: XdpHook,
  options: LibxdpOptions = {},
): LinuxCollection {
  const own = memberSpec(spec, name);
  const index = ifindex(hook.iface);
  const where = hookText(hook);
  const { priority: askedPriority, chainCallActions: askedActions, prepare, ...load } = options;
  const config = runConfig(spec, name);
  const priority = askedPriority ?? config.priority ?? DEFAULT_PRIORITY;
  const chainCallActions = askedActions ?? config.chainCallActions ?? DEFAULT_CHAIN_CALL;
  const frags = (spec.programs.get(name)!.flags & BPF_F_XDP_HAS_FRAGS) !== 0;
  const added = { program: 0, name, priority, chainCallActions, frags };
  return change(index, (old) => {
    if (!old) checkFree(index, where);
    if (old && hook.mode !== "auto" && hook.mode !== old.mode) {
      throw new BpfError("EBUSY", `${where}: libxdp's dispatcher is there in ${old.mode} mode`);
    }
    const members = [...(old?.members ?? []), added].sort(inOrder);
    if (members.length > MAX_CHAIN)
      throw new RangeError(`${where}: libxdp's dispatcher has ${MAX_CHAIN} programs already`);
    let collection: LinuxCollection | undefined;
    try {
      install(index, old, members, modesOf(hook, old), (dispatcher, slot) => {
        const placed: ProgramSpec = { ...own.programs.get(name)!, attachTo: slot };
        const programs = new Map(own.programs).set(name, placed);
        collection = loadCollection({ ...own, programs }, { ...load, programs: [name], targetProgram: dispatcher });
        prepare?.(collection.maps);
        return linuxProgram(collection.programs.get(name)!);
      });
      return collection!;
    } catch (error) {
      collection?.close();
      throw error;
    }
  });
}

/** Takes a program out of the dispatcher of a device, and with the last one the dispatcher. False when it is no member. */
export function leaveLibxdp(index: number, program: number): boolean {
  return change(index, (old) => {
    const members = old?.members.filter((m) => m.program !== program);
    if (!old || !members || members.length === old.members.length) return false;
    if (members.length > 0) {
      install(index, old, members, [old.mode]);
      return true;
    }
    using there = openProgram({ id: old.program });
    using socket = new NetlinkSocket(NETLINK_ROUTE);
    setLinkXdp(socket, index, -1, modeFlag(old.mode) | XDP_FLAGS_REPLACE, there.fd);
    removeDirectory(directoryOf(index, old.program));
    return true;
  });
}

/** By priority, then by name, then who was there before. Source: libxdp.c `cmp_xdp_programs`. */
function inOrder(a: LibxdpMember, b: LibxdpMember): number {
  if (a.priority !== b.priority) return a.priority - b.priority;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** An object whose program is loaded as a replacement: libxdp has the frags flag for the dispatcher only. */
function memberSpec(spec: CollectionSpec, name: string): CollectionSpec {
  const program = spec.programs.get(name);
  if (program?.type !== ProgType.BPF_PROG_TYPE_XDP) throw new TypeError(`program ${name}: expected an xdp program`);
  if (!spec.btf || program.funcInfo[0]?.pc !== 0) {
    const why = "libxdp's dispatcher calls it by its prototype: build it with types (BTF)";
    throw new UnsupportedError("libxdp", `program ${name}: has no types; ${why}`);
  }
  const type = ProgType.BPF_PROG_TYPE_EXT;
  const flags = program.flags & ~BPF_F_XDP_HAS_FRAGS;
  return { ...spec, programs: new Map(spec.programs).set(name, { ...program, type, attachType: 0, flags }) };
}

function checkFree(index: number, where: string): void {
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  const { xdp } = getLink(socket, index);
  if (!xdp) return;
  throw new BpfError(
    "EBUSY",
    `${where}: program ${xdp.progId} is attached to this interface, and is no dispatcher of libxdp: detach it first`,
  );
}

type Mode = LibxdpDispatcher["mode"];

function modesOf({ mode }: XdpHook, old: LibxdpDispatcher | undefined): readonly Mode[] {
  if (old) return [old.mode];
  return mode === "native" || mode === "generic" ? [mode] : ["native", "generic"];
}

function modeFlag(mode: Mode): number {
  return mode === "native" ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
}

const ATTEMPTS = 50;
const PAUSE_MS = 100;

/** Runs `body` with what is there now, while nobody else of libxdp's users changes its files. */
function change<T>(index: number, body: (old: LibxdpDispatcher | undefined) => T): T {
  ensureBpffs();
  mkdirSync(root(), { recursive: true, mode: 0o700 });
  for (let attempt = 0; ; attempt++) {
    const lock = lockDirectory(root());
    if (lock === undefined) {
      if (attempt === ATTEMPTS) throw new BpfError("EBUSY", `${root()}: another process has kept it locked for 5 s`);
      sleep(PAUSE_MS);
      continue;
    }
    try {
      return body(libxdpOn(index));
    } finally {
      close(lock);
    }
  }
}

/**
 * Loads a dispatcher with these members and puts it on the device. The one that is not loaded yet (program 0) is made by
 * `make`, for the function that it is to replace. Whatever fails, the old one stays and nothing of the new one does.
 */
function install(
  index: number,
  old: LibxdpDispatcher | undefined,
  members: readonly LibxdpMember[],
  modes: readonly Mode[],
  make?: (dispatcher: LinuxProgram, slot: string) => LinuxProgram,
): void {
  using loaded = loadDispatcher(members, old?.version);
  const dispatcher = linuxProgram(loaded.programs.get(NAME)!);
  const directory = directoryOf(index, dispatcher.id);
  const owned: { close(): void }[] = [];
  try {
    mkdirSync(directory, { mode: 0o700 });
    members.forEach((member, i) => {
      const slot = `prog${i}`;
      let program: LinuxProgram;
      if (member.program === 0) program = make!(dispatcher, slot);
      else {
        program = openProgram({ id: member.program });
        owned.push(program);
      }
      const link = attachFreplace(program, { kind: "freplace", program: dispatcher.id, function: slot }, linuxProgram);
      owned.push(link);
      link.pin(`${directory}/${slot}-link`);
      objPin(program.fd, `${directory}/${slot}-prog`);
    });
    place(index, dispatcher, old, modes);
  } catch (error) {
    removeDirectory(directory);
    throw error;
  } finally {
    for (const object of owned) object.close();
  }
  if (old) removeDirectory(directoryOf(index, old.program));
}

function place(
  index: number,
  dispatcher: LinuxProgram,
  old: LibxdpDispatcher | undefined,
  modes: readonly Mode[],
): void {
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  if (old) {
    using there = openProgram({ id: old.program });
    setLinkXdp(socket, index, dispatcher.fd, modeFlag(old.mode) | XDP_FLAGS_REPLACE, there.fd);
    return;
  }
  for (const [i, mode] of modes.entries()) {
    try {
      setLinkXdp(socket, index, dispatcher.fd, modeFlag(mode) | XDP_FLAGS_UPDATE_IF_NOEXIST);
      return;
    } catch (error) {
      const taken = error instanceof SysError && (error.errno === Errno.EBUSY || error.errno === Errno.EEXIST);
      if (taken || i === modes.length - 1) throw error;
    }
  }
}

function removeDirectory(directory: string): void {
  if (!existsSync(directory)) return;
  for (const file of readdirSync(directory)) unlinkSync(`${directory}/${file}`);
  rmdirSync(directory);
}

const FILE = "xdp-dispatcher.o";
const PLACES = [
  process.env.LIBXDP_OBJECT_PATH,
  "/usr/lib/x86_64-linux-gnu/bpf",
  "/usr/lib/aarch64-linux-gnu/bpf",
  "/usr/lib64/bpf",
  "/usr/lib/bpf",
  "/usr/local/lib/bpf",
];

let object: { readonly spec: CollectionSpec; readonly version: number; readonly path: string } | undefined;

function dispatcherObject(): NonNullable<typeof object> {
  if (object) return object;
  const path = PLACES.flatMap((place) => (place ? [`${place}/${FILE}`] : [])).find((file) => existsSync(file));
  if (path === undefined) {
    const where = "LIBXDP_OBJECT_PATH names another directory";
    throw new UnsupportedError("libxdp", `${FILE} of libxdp is not installed (Debian: libxdp1; ${where})`);
  }
  const spec = readElf(readFileSync(path));
  const version = versionOf(spec);
  if (version === undefined || spec.variables?.get("conf") === undefined || !spec.programs.has(NAME)) {
    throw new UnsupportedError("libxdp", `${path}: is no dispatcher that ebplane knows`);
  }
  object = { spec, version, path };
  return object;
}

/** libxdp's metadata are numbers written as types: a pointer to an array of that many elements. */
function numberOf(btf: Btf, id: number): number | undefined {
  const pointer = btf.type(resolve(btf, id));
  const array = pointer.kind === "ptr" ? btf.type(resolve(btf, pointer.type)) : undefined;
  return array?.kind === "array" ? array.length : undefined;
}

function versionOf({ btf }: CollectionSpec): number | undefined {
  const variable = variableOf(btf, "dispatcher_version");
  return btf && variable && numberOf(btf, variable.type);
}

function variableOf(btf: Btf | undefined, name: string): BtfVar | undefined {
  const id = btf?.find(name, "var");
  const type = id === undefined ? undefined : btf!.type(id);
  return type?.kind === "var" ? type : undefined;
}

/** The place that the object itself asks for: the struct `_NAME` of section `.xdp_run_config`. */
function runConfig({ btf }: CollectionSpec, name: string): ChainOptions {
  const variable = variableOf(btf, `_${name}`);
  const struct = variable && btf!.type(resolve(btf!, variable.type));
  if (struct?.kind !== "struct") return {};
  const values = new Map(struct.members.map((m) => [m.name, numberOf(btf!, m.type)]));
  const actions = (Object.keys(XdpAction) as XdpActionName[]).filter((action) => values.get(action));
  return { priority: values.get("priority"), chainCallActions: actions.length ? actions : undefined };
}

function loadDispatcher(members: readonly LibxdpMember[], oldVersion: number | undefined): LinuxCollection {
  const { spec, version, path } = dispatcherObject();
  if (oldVersion !== undefined && oldVersion !== version) {
    const why = `the dispatcher there has version ${oldVersion} of libxdp's protocol, ${path} has ${version}`;
    throw new UnsupportedError("libxdp", `${why}: unload it with the xdp-loader that loaded it`);
  }
  const { size } = spec.variables!.get("conf")!;
  if (size < CONFIG.size) {
    throw new UnsupportedError(
      "libxdp",
      `${path}: version ${version} of libxdp's protocol is older than ebplane knows`,
    );
  }
  const frags = members.every((m) => m.frags);
  const bytes = new Uint8Array(size);
  bytes.set([MAGIC, version, members.length, frags ? 1 : 0]);
  const view = viewOf(bytes);
  members.forEach(({ chainCallActions, priority, frags }, i) => {
    view.setUint32(CONFIG.actions + 4 * i, 2 ** RETVAL_BIT + actionMask(chainCallActions), true);
    view.setUint32(CONFIG.priorities + 4 * i, priority, true);
    view.setUint32(CONFIG.flags + 4 * i, frags ? BPF_F_XDP_HAS_FRAGS : 0, true);
  });
  const program = spec.programs.get(NAME)!;
  const flags = program.flags | (frags ? BPF_F_XDP_HAS_FRAGS : 0);
  const filled = setVariables(spec, { conf: bytes });
  return loadCollection(
    { ...filled, programs: new Map(filled.programs).set(NAME, { ...program, flags }) },
    { programs: [NAME] },
  );
}
