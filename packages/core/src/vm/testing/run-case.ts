/** Runs a case of testdata/*.case as its sections say, on an engine. For tests alone. */
import { assemble } from "../../asm/index.ts";
import { concatBytes, fromHex } from "../../bytes/index.ts";
import type { VmMap } from "../../maps/index.ts";
import { AttachType, type MapSpec, MapType, type ProgramSpec, ProgType, progTypeByName } from "../../object/index.ts";
import type { FieldValue } from "../ctx/fields.ts";
import { HookCtx } from "../ctx/hook.ts";
import { SkbBuffer } from "../ctx/skb.ts";
import { SocketBuffer } from "../ctx/socket.ts";
import { XdpRing } from "../ctx/xdp.ts";
import type { EngineName } from "../engines.ts";
import { rawProgram } from "../exec.ts";
import { Machine } from "../machine.ts";
import type { EngineCase } from "./cases.ts";

export interface CaseResult {
  readonly r0: bigint;
  /** The memory or packet afterwards. */
  readonly after: Uint8Array;
  /** The values of the maps that have entries, by name, key by key. */
  readonly maps: ReadonlyMap<string, readonly Uint8Array[]>;
  /** The fields that the case names, as it writes them. */
  readonly fields?: string;
}

/** The program of a case; type 0 where it runs on plain memory. */
export function caseProgram({ sections }: EngineCase): ProgramSpec {
  const { code, relocs, lineInfo } = assemble(sections.get("asm")!);
  const type = sections.has("type") ? progTypeByName(sections.get("type")!) : 0;
  if (type === undefined) throw new SyntaxError(`no program type ${sections.get("type")}`);
  const attach = sections.get("attach");
  const attachType = attach === undefined ? 0 : (AttachType as Record<string, number>)[`BPF_${attach}`];
  if (attachType === undefined) throw new SyntaxError(`no attach type BPF_${attach}`);
  return { ...rawProgram(code, type, "case"), attachType, relocs, lineInfo };
}

const T = ProgType;
/** Types whose ctx is a `__sk_buff`, and those of them whose data begins behind the link header. */
const WITHOUT_LINK: ReadonlySet<number> = new Set([
  T.BPF_PROG_TYPE_SOCKET_FILTER,
  T.BPF_PROG_TYPE_CGROUP_SKB,
  T.BPF_PROG_TYPE_LWT_IN,
  T.BPF_PROG_TYPE_LWT_OUT,
  T.BPF_PROG_TYPE_LWT_XMIT,
]);
const WITH_LINK: ReadonlySet<number> = new Set([T.BPF_PROG_TYPE_SCHED_CLS, T.BPF_PROG_TYPE_SCHED_ACT]);
const ETH_HLEN = 14;

/** True where the kernel can run the case too, and not only load it. */
export function hasTestRun(c: EngineCase): boolean {
  const { type } = caseProgram(c);
  return type === T.BPF_PROG_TYPE_XDP || WITH_LINK.has(type) || WITHOUT_LINK.has(type);
}

/** `name=1 other=1,2,3` as numbers, bigints and words. */
function fieldsOf(text: string | undefined): Record<string, FieldValue> {
  const pairs = (text ?? "")
    .split(/\s+/)
    .filter(Boolean)
    .map((pair) => pair.split("=") as [string, string]);
  return Object.fromEntries(
    pairs.map(([name, value]) => [name, value.includes(",") ? value.split(",").map(Number) : BigInt(value)]),
  );
}

/** Maps from lines of `name type key value max`, with `rodata HEX` for a frozen first value. */
export function caseMaps({ sections }: EngineCase): MapSpec[] {
  const text = sections.get("maps");
  if (!text) return [];
  return text.split("\n").map((line) => {
    const [name, type, key, value, max, rodata, hex] = line.split(" ") as [string, string, ...string[]];
    const number = (MapType as Record<string, number>)[`BPF_MAP_TYPE_${type.toUpperCase()}`];
    if (number === undefined) throw new SyntaxError(`no map type ${type}`);
    const spec: MapSpec = {
      name,
      type: number,
      keySize: Number(key),
      valueSize: Number(value),
      maxEntries: Number(max),
      flags: rodata ? 1 << 7 : 0,
    };
    if (!rodata) return spec;
    const bytes = new Uint8Array(spec.valueSize);
    bytes.set(fromHex(hex!));
    return { ...spec, frozen: true, contents: [{ key: new Uint8Array(4), value: bytes }] };
  });
}

export function casePacket({ sections }: EngineCase): Uint8Array {
  return fromHex(sections.get("mem") ?? (sections.has("type") ? "00".repeat(64) : ""));
}

export function runCase(c: EngineCase, engine: EngineName): CaseResult {
  const machine = new Machine();
  const maps = new Map<string, VmMap>();
  for (const spec of caseMaps(c)) {
    const map = machine.createMap(spec);
    for (const { key, value } of spec.contents ?? []) map.update(key, value as Uint8Array);
    maps.set(spec.name, map);
  }
  const spec = caseProgram(c);
  const program = machine.load(spec, { engine, maps });
  const bytes = casePacket(c);
  const result = (low: number, after: Uint8Array): CaseResult => ({
    r0: machine.r0(low),
    after,
    maps: new Map([...maps].map(([name, map]) => [name, [...map.entries()].map(([, v]) => v)])),
  });
  if (c.sections.get("type") === "xdp") {
    const ring = new XdpRing(machine.memory);
    const low = program.run(ring.write(0, bytes));
    return result(low, ring.packet().slice());
  }
  if (WITH_LINK.has(spec.type) || WITHOUT_LINK.has(spec.type)) {
    const linkHeader = WITH_LINK.has(spec.type);
    const skb = new SkbBuffer(machine.memory);
    const low = program.run(skb.write(bytes, { ifindex: 1, linkHeader }));
    return result(low, linkHeader ? skb.packet() : concatBytes([new Uint8Array(ETH_HLEN), skb.packet()]));
  }
  if (spec.type) {
    const { sections } = c;
    const hook = new HookCtx(machine.memory, spec.type, spec.attachType);
    const socket = new SocketBuffer(machine.memory, {
      fields: fieldsOf(sections.get("socket")),
      tcp: fieldsOf(sections.get("tcp")),
    });
    const data = sections.get("data");
    const [name, now, next] = (sections.get("sysctl") ?? "").split(" ");
    const at = hook.write({
      fields: fieldsOf(sections.get("ctx")),
      ...(data !== undefined && { data: fromHex(data) }),
      ...(sections.has("visible") && { visible: Number(sections.get("visible")) }),
      ...(sections.has("socket") && { socket: socket.address }),
      ...(sections.has("room") && { optionRoom: Number(sections.get("room")) }),
      ...(name && { sysctl: { name, current: now!, ...(next !== undefined && { next }) } }),
    });
    const low = program.run(at);
    const all = hook.fields();
    const wanted = Object.keys(fieldsOf(sections.get("fields")));
    const text = (value: FieldValue): string => (typeof value === "object" ? value.join(",") : `${value}`);
    const fields = wanted.map((field) => `${field}=${text(all[field]!)}`).join(" ");
    return { ...result(low, name ? new TextEncoder().encode(hook.sysctl().next) : hook.data()), fields };
  }
  const at = machine.memory.alloc(bytes.length || 1);
  machine.memory.u8.set(bytes, at);
  const low = program.runner.call(0, [at, bytes.length]);
  return result(low, machine.memory.u8.slice(at, at + bytes.length));
}
