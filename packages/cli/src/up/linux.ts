/** A plane on the real kernel: checked before, attached until it is interrupted. */
import { BpfError, UnsupportedError } from "@ebplane/core/errors";
import { deviceOf, startPlane } from "@ebplane/functions";
import { inSource, type LoadedPlane } from "../input.ts";
import { note } from "../output.ts";
import { operate } from "./operate.ts";

export async function upLinux(path: string, { plane, built }: LoadedPlane, options: { json: boolean }): Promise<void> {
  const { findingText, kernelAvailable, linuxTarget, preflight } = await import("@ebplane/linux");
  const kernel = kernelAvailable();
  if (!kernel.ok) throw new UnsupportedError("kernel", `--target linux: ${kernel.reason}`);
  const findings = preflight(
    built.layout.interfaces.flatMap(({ name, program }) => {
      if (!program) return [];
      const hook = { kind: "xdp", iface: deviceOf(plane, name), mode: plane.interfaces.get(name)!.mode } as const;
      const redirectsTo = program.redirectsTo.map((to) => deviceOf(plane, to));
      return [{ program: built.spec.programs.get(program.name)!, hook, redirectsTo }];
    }),
  );
  // A device that is not there is missing as a hook and as a target: once is enough.
  const hooked = new Set(
    built.layout.interfaces.flatMap(({ name, program }) => (program ? [deviceOf(plane, name)] : [])),
  );
  const errors = findings.filter((f) => f.severity === "error" && !hooked.has(f.place));
  if (errors.length) throw new BpfError("EPREFLIGHT", errors.map(findingText).join("\n"));
  for (const warning of findings) note(findingText(warning));
  await operate(path, plane, options, () => {
    const running = inSource(built.spec, () => startPlane(plane, built, linuxTarget()));
    const titles = new Map<string, string>();
    for (const [name, link] of running.links) {
      titles.set(name, `${link.hook.iface} (${link.mode} XDP)`);
      const why = link.fallbackReason === undefined ? "" : `: native mode was refused (${link.fallbackReason})`;
      note(`${name}: attached to ${link.hook.iface} in ${link.mode} mode${why}`);
    }
    const links = Object.fromEntries(
      [...running.links].map(([name, l]) => [name, { device: l.hook.iface, mode: l.mode }]),
    );
    return { plane: running, titles, facts: { target: "linux", links }, close: () => running.close() };
  });
}
