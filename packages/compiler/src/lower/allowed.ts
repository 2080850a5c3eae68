/** What the program at hand may call: by its type, its hook and the licence. */
import { helperAllowed, isGplCompatible, type Kfunc, kfuncAllowed, progTypeName } from "@ebplane/core/object";
import { type Context, refuse } from "./context.ts";
import type { HelperForm } from "./helpers.ts";

/** @throws a complaint where the program at hand may not call the helper. */
export function requireHelper(cx: Context, name: string, form: HelperForm["helper"], at: number): void {
  if (!cx.program) refuse(cx, at, `${name} can only be called in a program`);
  if (!helperAllowed(form, cx.program!.type, cx.program!.attachType)) {
    const { type } = cx.program!;
    // Of this type, but at another hook.
    const where = form.progTypes && !form.progTypes.has(type) ? elsewhere(form.progTypes) : " at this hook";
    refuse(cx, at, `${name} cannot be called in ${progTypeName(type)} programs${where}`);
  }
  if (form.gplOnly && !isGplCompatible(cx.license ?? "")) {
    refuse(cx, at, `${name} is for GPL-compatible programs: write license("GPL") at the top level`);
  }
}

/** Which types of programs may. */
function elsewhere(types: ReadonlySet<number> | undefined): string {
  const names = [...(types ?? [])].map(progTypeName);
  return `: it is for ${names.length > 4 ? `${names.slice(0, 4).join(", ")} …` : names.join(", ")}`;
}

/** @throws a complaint where the program at hand may not call the kernel function. */
export function requireKfunc(cx: Context, name: string, kfunc: Kfunc, at: number): void {
  if (!cx.program) refuse(cx, at, `${name} can only be called in a program`);
  if (!kfuncAllowed(kfunc, cx.program!.type)) {
    refuse(
      cx,
      at,
      `${name} cannot be called in ${progTypeName(cx.program!.type)} programs${elsewhere(kfunc.progTypes)}`,
    );
  }
  if (!isGplCompatible(cx.license ?? "")) {
    refuse(cx, at, `${name} is for GPL-compatible programs: write license("GPL") at the top level`);
  }
}
