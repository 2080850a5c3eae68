/** A plane in operation: loaded on a target, attached to its interfaces, observable, its rules replaceable. */
import { BpfError } from "@ebplane/core/errors";
import type { BpfMap, Collection, Link, Target } from "@ebplane/core/object";
import { indexKey } from "../kind.ts";
import type { BuiltPlane } from "./build.ts";
import { ownMaps } from "./layout.ts";
import { type PlaneReport, readReport } from "./report.ts";
import { deviceOf, type PlaneSpec } from "./schema.ts";

export interface Plane {
  readonly collection: Collection;
  /** One an interface with a chain, by interface name. */
  readonly links: ReadonlyMap<string, Link>;
  report(): PlaneReport;
  /**
   * Puts a changed configuration of functions into the live maps: no program is replaced and no packet is lost.
   * @throws RangeError when the change needs a rebuild; nothing is changed then.
   */
  update(plane: PlaneSpec): void;
  /** Detaches everything and releases programs and maps. */
  close(): void;
  [Symbol.dispose](): void;
}

/** What an earlier run of the same plane left in the kernel, to go on with. */
export interface Adopted {
  /** Live maps in place of new ones, by their names in the object. They stay the caller's. */
  readonly maps: ReadonlyMap<string, BpfMap>;
  /** Links whose program is replaced in place, by interface name: no packet meets no program. */
  readonly links: ReadonlyMap<string, Link>;
}

/**
 * Loads a plane and attaches it. All or nothing: when one interface fails, what was attached is detached again.
 * @throws RangeError for a device that does not exist; what `Target.load` and `Target.attach` throw.
 */
export function startPlane(plane: PlaneSpec, built: BuiltPlane, target: Target, adopted?: Adopted): Plane {
  const indexes = [...plane.interfaces.keys()].map((name) => target.ifindex(deviceOf(plane, name)));
  const collection = target.load(built.spec, { reuse: adopted?.maps });
  const links = new Map<string, Link>();
  let current = plane;
  const configure = (next: PlaneSpec): void => {
    for (const [name, { kind, config }] of next.functions) {
      const maps = ownMaps(name, collection.maps);
      if (maps.size) kind.update?.(config, maps);
    }
  };
  const close = (): void => {
    for (const link of links.values()) link.close();
    collection.close();
  };
  try {
    if (built.layout.devices !== undefined) {
      const map = collection.maps.get(built.layout.devices)!;
      for (const [i, ifindex] of indexes.entries()) map.update(indexKey(i), indexKey(ifindex));
    }
    // Maps that were there before keep what is in them: the file may say otherwise by now.
    if (adopted?.maps.size) configure(plane);
    for (const { name, program } of built.layout.interfaces) {
      if (!program) continue;
      const { mode } = plane.interfaces.get(name)!;
      const hook = { kind: "xdp", iface: deviceOf(plane, name), mode } as const;
      const loaded = collection.programs.get(program.name)!;
      const link = adopted?.links.get(name);
      link?.update(loaded);
      links.set(name, link ?? target.attach(loaded, hook));
    }
  } catch (e) {
    close();
    throw e;
  }
  return {
    collection,
    links,
    report: () => readReport(built.layout, current, collection.maps),
    update(next) {
      requireSameStructure(current, next);
      configure(next);
      current = next;
    },
    close,
    [Symbol.dispose]: close,
  };
}

/** What is folded into the code must be as it was: the same chains, kinds and constants. */
function requireSameStructure(before: PlaneSpec, after: PlaneSpec): void {
  const interfaces = [...after.interfaces.keys()];
  const shape = (plane: PlaneSpec): string =>
    JSON.stringify([
      [...plane.interfaces].map(([name, i]) => [name, i.xdp]),
      [...plane.chains],
      [...plane.functions].map(([name, f]) => [name, f.kind.type, f.kind.constants(f.config, { interfaces })]),
    ]);
  if (shape(before) !== shape(after)) {
    throw new BpfError(
      "EREBUILD",
      `plane ${after.name}: interfaces, chains or folded settings differ from the running plane: it must be rebuilt`,
    );
  }
}
