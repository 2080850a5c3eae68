/** Where a built plane keeps its programs and counters: what `build.ts` laid out, `report.ts` reads and `plane.ts` runs. */
/**
 * Counter slots a function has in an interface's `stats` map: one an XDP verdict (0 to 4), one for handing on to the
 * next function, the rest unused so that the index is a shift.
 */
export const OUTCOMES = 8;
export const OUTCOME_CONTINUE = 5;

export interface FunctionLayout {
  /** The name in the plane file; `parser` for the step that every chain begins with. */
  readonly name: string;
  readonly type: string;
  readonly reasons: readonly string[];
  /** Index of this function's first reason in the interface's `reasons` map. */
  readonly reasonBase: number;
}

export interface InterfaceLayout {
  readonly name: string;
  /** Absent where the interface has no chain. */
  readonly program?: {
    readonly name: string;
    readonly chain: string;
    readonly stats: string;
    readonly reasons: string;
    /** Interfaces that the chain may send packets out of, by name. */
    readonly redirectsTo: readonly string[];
    /** The parser, then the chain's functions in order. */
    readonly functions: readonly FunctionLayout[];
  };
}

export interface PlaneLayout {
  readonly name: string;
  readonly interfaces: readonly InterfaceLayout[];
  /** The devmap that forwards between the plane's interfaces (key = index in the file); absent when nothing forwards. */
  readonly devices: string | undefined;
}

/** A name of the plane file as an identifier. */
export function identifier(name: string): string {
  return name.replaceAll("-", "_");
}

/** What a function's maps are called in the object: the function's name stands before the map's own. */
export function mapPrefix(functionName: string): string {
  return `${identifier(functionName)}_`;
}

/** Of all maps of a plane a function's own, by the names they have in its program. */
export function ownMaps<T>(functionName: string, maps: ReadonlyMap<string, T>): Map<string, T> {
  const prefix = mapPrefix(functionName);
  return new Map(
    [...maps].filter(([name]) => name.startsWith(prefix)).map(([name, map]) => [name.slice(prefix.length), map]),
  );
}
