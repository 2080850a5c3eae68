/**
 * The function that an exception (`bpf_throw`) ends a program with: the declaration tag `exception_callback:NAME` on
 * the program's own function names it. Source: kernel/bpf/verifier.c `bpf_find_exception_callback_insn_off`.
 */
import type { Btf } from "../btf/index.ts";
import type { ProgramSpec } from "./spec.ts";

const PREFIX = "exception_callback:";

const tagsOf = new WeakMap<Btf, ReadonlyMap<number, readonly string[]>>();

/** What the tags name, by the id of the tagged function. */
export function exceptionTags(btf: Btf): ReadonlyMap<number, readonly string[]> {
  const known = tagsOf.get(btf);
  if (known) return known;
  const found = new Map<number, string[]>();
  tagsOf.set(btf, found);
  for (let id = 1; id < btf.length; id++) {
    const tag = btf.type(id);
    if (tag.kind !== "declTag" || tag.component !== -1 || !tag.name.startsWith(PREFIX)) continue;
    const name = tag.name.slice(PREFIX.length);
    const names = found.get(tag.type);
    if (names) names.push(name);
    else found.set(tag.type, [name]);
  }
  return found;
}

/** Its first slot, or why the tag names none; undefined for a program without the tag. */
export function exceptionCallback(
  { funcInfo }: Pick<ProgramSpec, "funcInfo">,
  btf: Btf | undefined,
):
  | { readonly pc: number; readonly problem?: undefined }
  | { readonly pc?: undefined; readonly problem: string }
  | undefined {
  const main = funcInfo[0];
  const names = btf && main && exceptionTags(btf).get(main.typeId);
  if (!btf || !names) return undefined;
  const [name] = names;
  if (names.length > 1) return { problem: "the program has more than one exception callback" };
  const id = btf.find(name!, "func");
  if (id === undefined) return { problem: `exception callback ${name}: BTF has no function of that name` };
  const func = btf.type(id);
  if (func.kind !== "func" || func.linkage !== "global") {
    return { problem: `exception callback ${name} must be a global function` };
  }
  const info = funcInfo.findLast((f) => f.typeId === id);
  if (!info) return { problem: `exception callback ${name} is no function of the program` };
  if (info.pc === 0) return { problem: `exception callback ${name} is the program itself` };
  return { pc: info.pc };
}
