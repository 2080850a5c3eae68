/** A plane on the real kernel: checked before, attached until it is interrupted. */
import { BpfError, UnsupportedError } from "@ebplane/core/errors";
import { deviceOf, startPlane } from "@ebplane/functions";
import { inSource, type LoadedPlane } from "../input.ts";
import { inNamespace } from "../kernel.ts";
import { note } from "../output.ts";
import { operate } from "./operate.ts";
import type { PinnedPlane } from "./pinned.ts";

export interface UpLinuxOptions {
  readonly json: boolean;
  /** The plane stays in the kernel when the process ends, and goes on with what an earlier run left there. */
  readonly pin: boolean;
}

export async function upLinux(path: string, loaded: LoadedPlane, options: UpLinuxOptions): Promise<void> {
  const { kernelAvailable } = await import("@ebplane/linux");
  const kernel = kernelAvailable();
  if (!kernel.ok) throw new UnsupportedError("kernel", `--target linux: ${kernel.reason}`);
  if (!options.pin) return run(path, loaded, options, undefined);
  const { PinnedPlane } = await import("./pinned.ts");
  const pinned = await inNamespace(undefined, (netns) => new PinnedPlane(loaded.plane, loaded.built, netns));
  try {
    await run(path, loaded, options, pinned);
  } finally {
    pinned.close();
  }
}

async function run(
  path: string,
  { plane, built }: LoadedPlane,
  options: UpLinuxOptions,
  pinned: PinnedPlane | undefined,
): Promise<void> {
  const { findingText, linuxTarget, preflight } = await import("@ebplane/linux");
  const adopted = pinned?.adopted;
  const findings = preflight(
    built.layout.interfaces.flatMap(({ name, program }) => {
      if (!program) return [];
      const hook = { kind: "xdp", iface: deviceOf(plane, name), mode: plane.interfaces.get(name)!.mode } as const;
      const redirectsTo = program.redirectsTo.map((to) => deviceOf(plane, to));
      const replaces = adopted?.links.get(name)?.id;
      return [{ program: built.spec.programs.get(program.name)!, hook, redirectsTo, replaces }];
    }),
  );
  // A device that is not there is missing as a hook and as a target: once is enough.
  const hooked = new Set(
    built.layout.interfaces.flatMap(({ name, program }) => (program ? [deviceOf(plane, name)] : [])),
  );
  const errors = findings.filter((f) => f.severity === "error" && !hooked.has(f.place));
  if (errors.length) throw new BpfError("EPREFLIGHT", errors.map(findingText).join("\n"));
  for (const warning of findings) note(findingText(warning));
  await operate(path, plane, { ...options, stays: pinned !== undefined }, () => {
    const running = inSource(built.spec, () => startPlane(plane, built, linuxTarget(), adopted));
    pinned?.keep(running);
    if (pinned?.story) note(`plane ${plane.name} was in the kernel: ${pinned.story}`);
    const titles = new Map<string, string>();
    for (const [name, link] of running.links) {
      titles.set(name, `${link.hook.iface} (${link.mode} XDP)`);
      const why = link.fallbackReason === undefined ? "" : `: native mode was refused (${link.fallbackReason})`;
      const verb = adopted?.links.has(name) ? "goes on, attached" : "attached";
      note(`${name}: ${verb} to ${link.hook.iface} in ${link.mode} mode${why}`);
    }
    const links = Object.fromEntries(
      [...running.links].map(([name, l]) => [name, { device: l.hook.iface, mode: l.mode }]),
    );
    return { plane: running, titles, facts: { target: "linux", links }, close: () => running.close() };
  });
}
