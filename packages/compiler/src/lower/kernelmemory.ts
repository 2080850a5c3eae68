/**
 * Memory of the kernel's own: fields of its structs, at offsets that are put in at load (CO-RE). Where the verifier
 * knows the pointer by its BTF (`btf`) fields are loads; elsewhere (`probe`) a helper reads them.
 */
import { CORE_RELO } from "@ebplane/core/btf";
import { HELPERS } from "@ebplane/core/object";
import { type MemType, type StructType, sizeOf, typeName, U64 } from "../check/index.ts";
import { type CoreSite, constant, type Insn, type Region } from "../ir/index.ts";
import { requireHelper } from "./allowed.ts";
import { type Context, refuse } from "./context.ts";
import type { CorePath, RefVal, Val } from "./values.ts";

const PROBE_READ_KERNEL = 113;

/** A place in the kernel's memory, as `memory.ts` has it. */
interface KernelPlace {
  readonly type: MemType;
  readonly address: Insn;
  readonly off: number;
  readonly region: Region;
  readonly core?: CorePath | undefined;
}

/** The number that stands for the field's offset. */
export function offsetSite(core: CorePath, local: number): CoreSite {
  return { type: core.root, access: core.access, kind: CORE_RELO.fieldByteOffset, local };
}

/** The place of a field of a part of a kernel struct. */
export function kernelField(ref: RefVal, struct: StructType, name: string): KernelPlace {
  const index = [...struct.fields.keys()].indexOf(name);
  const field = struct.fields.get(name)!;
  const core = ref.core ?? { root: struct, access: "0" };
  // What nobody knows the origin of (a function that nothing calls) is read as a load.
  const region: Region = ref.region.kind === "probe" ? ref.region : { kind: "btf" };
  return {
    type: field.type,
    address: ref.address,
    off: ref.off + field.offset,
    region,
    core: { root: core.root, access: `${core.access}:${index}` },
  };
}

/** The address in a register. */
export function kernelAddress(cx: Context, p: KernelPlace): Insn {
  if (p.core) return cx.b.bin("add", 64, p.address, cx.b.core(offsetSite(p.core, p.off)));
  return p.off ? cx.b.bin("add", 64, p.address, constant(BigInt(p.off))) : p.address;
}

/** Copies `size` bytes of kernel memory; what cannot be read is zero. */
export function probeRead(cx: Context, to: Insn, size: number, from: Insn): void {
  requireHelper(cx, "reading kernel memory", HELPERS.get(PROBE_READ_KERNEL)!, cx.b.at);
  cx.b.call(PROBE_READ_KERNEL, [to, constant(BigInt(size)), from], { map: true, writes: [0] });
}

/** The bits of a number or a pointer that lies there. */
export function loadKernel(cx: Context, p: KernelPlace, size: 1 | 2 | 4 | 8): Insn {
  if (p.region.kind === "probe") {
    const slot = cx.b.slot(`what is read of ${typeName(p.type)}`, 8, 8);
    const to = cx.b.frame(slot);
    probeRead(cx, to, size, kernelAddress(cx, p));
    return cx.b.load(size, to, 0, { kind: "stack", slot });
  }
  if (!p.core) return cx.b.load(size, p.address, p.off, p.region);
  const v = cx.b.load(size, p.address, p.off, p.region, offsetSite(p.core, p.off));
  // The kernel's field may have become wider since.
  if (size === 8) return v;
  return size === 4 ? cx.b.zext(32, v) : cx.b.zext((size * 8) as 8 | 16, v);
}

/** A field of a type that is no number: a struct or an array in place, or what a pointer leads to. */
export function kernelReference(cx: Context, p: KernelPlace): Val {
  const { type } = p;
  if (type.kind === "pointer") {
    const address = loadKernel(cx, p, 8);
    if (!type.to) return { k: "int", type: U64, v: address };
    return { k: "ref", type: type.to, address, off: 0, region: p.region, nullable: true };
  }
  if (type.kind === "struct" && type.form === "kernel") return { k: "ref", ...p, nullable: false };
  return { k: "ref", type, address: kernelAddress(cx, p), off: 0, region: p.region, nullable: false };
}

/** @throws a complaint where an element's place is computed: the verifier wants to know it. */
export function requireKnownIndex(cx: Context, region: Region, type: MemType, at: number): void {
  if (region.kind !== "btf") return;
  refuse(
    cx,
    at,
    `an element of the kernel's memory is taken by a constant index: copy the array first (copy(mine, …), ${sizeOf(type)} bytes)`,
  );
}
