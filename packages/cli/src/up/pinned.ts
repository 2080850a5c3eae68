/**
 * A plane that outlives its process: a directory /sys/fs/bpf/ebplane/planes/NAME@NETNS with its links, one an interface,
 * and the maps that hold its rules, counters and state. Whoever starts the plane again goes on with them: the programs
 * behind the links are replaced in place, so that not one packet passes by the plane.
 *
 * Maps are only taken over by a plane of the same shape, that is the same code and the same maps: in another one a
 * counter's place would mean something else. The shape stands in a directory's name, since bpffs holds no text; it goes
 * before the maps are replaced and comes after, so that a death between leaves none.
 */
import { createHash } from "node:crypto";
import { closeSync, existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, unlinkSync } from "node:fs";
import { BpfError } from "@ebplane/core/errors";
import type { BpfMap, CollectionSpec, Link, XdpHook } from "@ebplane/core/object";
import { type Adopted, type BuiltPlane, deviceOf, type Plane, type PlaneSpec } from "@ebplane/functions";
import { BPFFS, BpfLink, ensureBpffs, LinuxMap, openLink, openMap } from "@ebplane/linux";
import { lockDirectory, objPin } from "@ebplane/linux/bpf";
import { decodeName, encodeName } from "../attachments/records.ts";

const PLANES = `${BPFFS}/ebplane/planes`;

const pathOf = (name: string, netns: number): string => `${PLANES}/${encodeName(name)}@${netns}`;

export class PinnedPlane {
  readonly #path: string;
  readonly #shape: string;
  readonly #lock: number;
  readonly #links = new Map<string, BpfLink<XdpHook>>();
  readonly #maps = new Map<string, LinuxMap>();

  /** Takes the plane's place in bpffs. @throws BpfError when another process runs the plane, or there is no bpffs. */
  constructor(plane: PlaneSpec, { spec }: BuiltPlane, netns: number) {
    ensureBpffs();
    this.#path = pathOf(plane.name, netns);
    for (const part of ["links", "maps", "shape"]) {
      mkdirSync(`${this.#path}/${part}`, { recursive: true, mode: 0o700 });
    }
    this.#lock = takeOrRefuse(this.#path, plane.name);
    this.#shape = shapeOf(spec);
    try {
      this.#openLinks(plane);
      if (existsSync(`${this.#path}/shape/${this.#shape}`)) this.#openMaps(spec);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Only links that are still where the file wants them. */
  #openLinks(plane: PlaneSpec): void {
    for (const [name, iface] of plane.interfaces) {
      const path = `${this.#path}/links/${encodeName(name)}`;
      if (iface.xdp === undefined || !existsSync(path)) continue;
      const link = openLink({ path });
      const { hook } = link;
      const here = hook.kind === "xdp" && hook.iface === deviceOf(plane, name);
      if (here && (iface.mode === "auto" || iface.mode === link.mode)) this.#links.set(name, link as BpfLink<XdpHook>);
      else link.close();
    }
  }

  /** All or none: where somebody took a pin away, the tables begin anew. */
  #openMaps(spec: CollectionSpec): void {
    const names = [...spec.maps.values()].filter((map) => !map.frozen).map((map) => map.name);
    if (!names.every((name) => existsSync(this.#mapPath(name)))) return;
    for (const name of names) this.#maps.set(name, openMap({ path: this.#mapPath(name) }));
  }

  #mapPath(name: string): string {
    return `${this.#path}/maps/${encodeName(name)}`;
  }

  /** What an earlier run left, or undefined when there is nothing to go on with. */
  get adopted(): Adopted | undefined {
    return this.#links.size || this.#maps.size ? { maps: this.#maps, links: this.#links } : undefined;
  }

  /** In words: what of the earlier run goes on. */
  get story(): string {
    if (this.#maps.size) return "its rules' counters and tables go on";
    return this.#links.size ? "its code differs, so counters and tables begin anew" : "";
  }

  /** Pins what the running plane is made of, and takes away what the file no longer has. */
  keep(running: Plane): void {
    const shapes = `${this.#path}/shape`;
    if (this.#maps.size === 0) {
      for (const old of readdirSync(shapes)) rmdirSync(`${shapes}/${old}`);
      for (const old of readdirSync(`${this.#path}/maps`)) unlinkSync(`${this.#path}/maps/${old}`);
      for (const [name, map] of running.collection.maps) if (!map.spec.frozen) pinMap(map, this.#mapPath(name));
      mkdirSync(`${shapes}/${this.#shape}`, { mode: 0o700 });
    }
    const links: ReadonlyMap<string, Link> = running.links;
    for (const file of readdirSync(`${this.#path}/links`)) {
      if (!this.#links.has(decodeName(file))) unlinkSync(`${this.#path}/links/${file}`);
    }
    for (const [name, link] of links) {
      if (!this.#links.has(name) && link instanceof BpfLink) link.pin(`${this.#path}/links/${encodeName(name)}`);
    }
  }

  /** Lets go of the plane, which goes on without us. */
  close(): void {
    for (const map of this.#maps.values()) map.close();
    for (const link of this.#links.values()) link.close();
    closeSync(this.#lock);
  }
}

/** Takes a pinned plane out of the kernel: with their names its links go, and with them its programs and maps. */
export function removePinned(name: string, netns: number): void {
  const path = pathOf(name, netns);
  if (!existsSync(path)) {
    const others = pinnedPlanes(netns);
    const there = others.length ? `pinned are ${others.join(", ")}` : "none is";
    throw new BpfError("ENOENT", `plane ${name}: is not pinned in this network namespace; ${there}`);
  }
  const lock = takeOrRefuse(path, name);
  try {
    rmSync(path, { recursive: true });
    if (readdirSync(PLANES).length === 0) rmdirSync(PLANES);
  } finally {
    closeSync(lock);
  }
}

/** Names of the planes that are pinned in a network namespace. */
export function pinnedPlanes(netns: number): string[] {
  if (!existsSync(PLANES)) return [];
  return readdirSync(PLANES).flatMap((entry) => {
    const [, name, where] = /^(.*)@(\d+)$/.exec(entry) ?? [];
    return name !== undefined && Number(where) === netns ? [decodeName(name)] : [];
  });
}

/** The pinned plane that each of these links belongs to, by the link's id. */
export function planesOfLinks(netns: number): Map<number, string> {
  const found = new Map<number, string>();
  for (const name of pinnedPlanes(netns)) {
    const folder = `${pathOf(name, netns)}/links`;
    for (const file of existsSync(folder) ? readdirSync(folder) : []) {
      const link = openLink({ path: `${folder}/${file}` });
      found.set(link.id, name);
      link.close();
    }
  }
  return found;
}

function takeOrRefuse(path: string, name: string): number {
  const lock = lockDirectory(path);
  if (lock === undefined) throw new BpfError("EBUSY", `plane ${name}: another process runs it; stop that one first`);
  return lock;
}

function pinMap(map: BpfMap, path: string): void {
  if (map instanceof LinuxMap) objPin(map.fd, path);
}

/** A number for code and maps: equal for planes whose maps mean the same. */
function shapeOf(spec: CollectionSpec): string {
  const hash = createHash("sha256");
  for (const { name, type, code, relocs } of spec.programs.values()) {
    hash.update(JSON.stringify([name, type, relocs]));
    hash.update(code);
  }
  for (const { name, type, keySize, valueSize, maxEntries, flags, frozen, contents } of spec.maps.values()) {
    hash.update(JSON.stringify([name, type, keySize, valueSize, maxEntries, flags]));
    for (const { value } of frozen ? (contents ?? []) : []) if (value instanceof Uint8Array) hash.update(value);
  }
  return hash.digest("hex").slice(0, 32);
}
