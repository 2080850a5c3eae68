/** One random program on targets, against its evaluation. */
import { compile } from "@ebplane/compiler";
import { bytesEqual, toHex } from "@ebplane/core/bytes";
import { CompileError, VerifierError } from "@ebplane/core/errors";
import type { BpfMap, Collection, CollectionSpec, Target } from "@ebplane/core/object";
import { type KernelVersion, verify } from "@ebplane/core/verifier";
import { MAP_ENTRIES, type Num, PACKET_SIZE, seeded, VALUE_SIZE, wrap } from "./random/model.ts";
import { randomProgram } from "./random-program.ts";

function readLittle(bytes: Uint8Array): bigint {
  return bytes.reduceRight((sum, b) => (sum << 8n) | BigInt(b), 0n);
}

function u32(n: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, n, true);
  return out;
}

function littleEndian(n: bigint): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, n, true);
  return out;
}

/** A number of global data as the program left it. */
function globalOf(spec: CollectionSpec, loaded: Collection, name: string, type: Num): bigint | undefined {
  const v = spec.variables?.get(name);
  const bytes =
    v &&
    loaded.maps
      .get(v.map)!
      .lookup(new Uint8Array(4))!
      .slice(v.offset, v.offset + v.size);
  return bytes && wrap(type, readLittle(bytes));
}

/** What a random program may be refused for: more stack than there is, and asking for what is known to be missing. */
const REFUSALS = /needs \d+ bytes of stack|may be undefined here|got undefined|undefined cannot be taken apart/;
/** … and built for an older kernel, for what that one lacks. */
const LACKS = /needs Linux \d|which Linux has since/;

function compiled(source: string, kernel: KernelVersion | undefined): CollectionSpec | undefined {
  try {
    return compile({ entry: "random.bpf.ts", files: new Map([["random.bpf.ts", source]]), kernel }).spec;
  } catch (e) {
    const allowed = (message: string) => REFUSALS.test(message) || (kernel !== undefined && LACKS.test(message));
    if (e instanceof CompileError && e.diagnostics.every((d) => allowed(d.message))) return undefined;
    throw e;
  }
}

/** Whether the target takes the program; a verifier may find it too long. */
function tooLong(target: Target, spec: CollectionSpec): boolean {
  try {
    target.load(spec).close();
    return false;
  } catch (e) {
    if (
      e instanceof VerifierError &&
      /more than 1000000 instructions|is too large|branches wait to be walked|jumps is too complex/.test(e.message)
    )
      return true;
    throw e;
  }
}

/** A program that the compiler refuses, as it may, or that every verifier gives up on. */
export const REFUSED = "refused";

/** The rules of an older kernel refuse the program: its verifier need not be asked. */
function foreseen(spec: CollectionSpec, profile: KernelVersion | undefined): boolean {
  if (profile === undefined) return false;
  const { maps, license, btf } = spec;
  return [...spec.programs.values()].some((p) => verify(p, { maps, license, btf, profile }).verdict === "reject");
}

/** The program of a seed, built for a kernel; undefined where compiler or that kernel's rules refuse it, as they may. */
export function built(seed: number, kernel?: KernelVersion): CollectionSpec | undefined {
  const spec = compiled(randomProgram(seed).source, kernel);
  return spec && foreseen(spec, kernel) ? undefined : spec;
}

/** The first difference, REFUSED, or undefined. */
export function check(seed: number, targets: readonly Target[], spec = built(seed)): string | undefined {
  if (!spec) return REFUSED;
  const program = randomProgram(seed);
  if (targets.length && tooLong(targets[0]!, spec)) {
    const others = targets.filter((t) => !tooLong(t, spec));
    return others.length ? `seed ${seed}: too long, but not for ${others.map((t) => t.name).join(", ")}` : REFUSED;
  }
  const rand = seeded(seed ^ 0x5eed);
  const random = (n: number) => Uint8Array.from({ length: n }, () => Math.floor(rand() * 256));
  // The second packet ends somewhere: behind the headers, within them.
  const inputs = [PACKET_SIZE, 16 + Math.floor(rand() * 80)].map((size) => ({
    packet: random(size),
    map: Array.from({ length: MAP_ENTRIES }, () => random(VALUE_SIZE)),
  }));
  for (const target of targets) {
    using loaded = target.load(spec);
    const values = loaded.maps.get("values");
    const entries = loaded.maps.get("entries");
    const inner = ["one", "two"].map((name) => loaded.maps.get(name));
    const state = program.freshState();
    for (const input of inputs) {
      for (const [k, v] of input.map.entries()) values?.update(u32(k), v);
      const world = { packet: input.packet.slice(), map: input.map.map((v) => v.slice()), state };
      const verdict = program.run(world);
      const got = loaded.programs.get("main")!.testRun({ packet: input.packet });
      const where = `seed ${seed} on ${target.name}`;
      if (got.verdict !== verdict) return `${where}: verdict ${got.verdict}, expected ${verdict}`;
      if (!bytesEqual(got.packet, world.packet)) {
        return `${where}: packet ${toHex(got.packet)}, expected ${toHex(world.packet)}`;
      }
      const wanted: (readonly [BpfMap | undefined, string, number, Uint8Array | undefined])[] = [
        ...world.map.map((v, k) => [values, "value", k, v] as const),
        ...[0, 1, 2, 3].map((k) => [entries, "entry", k, state.hash.get(k)] as const),
        ...state.inner.flatMap((numbers, m) =>
          numbers.map((n, k) => [inner[m], `number of map ${m}`, k, littleEndian(n)] as const),
        ),
      ];
      for (const [map, what, k, bytes] of wanted) {
        if (!map) continue;
        const now = map.lookup(u32(k));
        if (now && bytes ? !bytesEqual(now, bytes) : now !== bytes) {
          return `${where}: ${what} ${k} ${now && toHex(now)}, expected ${bytes && toHex(bytes)}`;
        }
      }
      for (const [name, type] of program.globals) {
        const now = globalOf(spec, loaded, name, type);
        const expected = state.numbers.get(name)!;
        if (now !== undefined && now !== expected) return `${where}: ${name} ${now}, expected ${expected}`;
      }
    }
  }
  return undefined;
}
