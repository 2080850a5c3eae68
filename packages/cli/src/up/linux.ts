/**
 * A plane on the real kernel: attached until Ctrl-C (or SIGTERM), with the same table as on sim, live on a terminal.
 * SIGHUP reads the plane file again and puts changed rules into the running maps.
 */
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { BpfError, UnsupportedError } from "@ebplane/core/errors";
import { type Plane, parsePlane, startPlane } from "@ebplane/functions";
import logUpdate from "log-update";
import type { LoadedPlane } from "../input.ts";
import { note, print, printJson } from "../output.ts";
import { reportText } from "../plane-table.ts";

export async function upLinux(path: string, { plane, built }: LoadedPlane, options: { json: boolean }): Promise<void> {
  const { findingText, kernelAvailable, linuxTarget, preflight } = await import("@ebplane/linux");
  const kernel = kernelAvailable();
  if (!kernel.ok) throw new UnsupportedError("kernel", `--target linux: ${kernel.reason}`);
  const deviceOf = (name: string): string => plane.interfaces.get(name)!.device ?? name;
  const findings = preflight(
    built.layout.interfaces.flatMap(({ name, program }) => {
      if (!program) return [];
      const hook = { kind: "xdp", iface: deviceOf(name), mode: plane.interfaces.get(name)!.mode } as const;
      const redirectsTo = program.redirectsTo.map(deviceOf);
      return [{ program: built.spec.programs.get(program.name)!, hook, redirectsTo }];
    }),
  );
  // A device that is not there is missing as a hook and as a target: once is enough.
  const hooked = new Set(built.layout.interfaces.flatMap(({ name, program }) => (program ? [deviceOf(name)] : [])));
  const errors = findings.filter((f) => f.severity === "error" && !hooked.has(f.place));
  if (errors.length) throw new BpfError("EPREFLIGHT", errors.map(findingText).join("\n"));
  for (const warning of findings) note(findingText(warning));
  const stop = new AbortController();
  const onStop = (): void => stop.abort();
  // Before anything is attached: an early Ctrl-C must not leave half a plane.
  process.on("SIGINT", onStop);
  process.on("SIGTERM", onStop);
  try {
    using running = startPlane(plane, built, linuxTarget());
    const titles = new Map<string, string>();
    for (const [name, link] of running.links) {
      titles.set(name, `${link.hook.iface} (${link.mode} XDP)`);
      const why = link.fallbackReason === undefined ? "" : `: native mode was refused (${link.fallbackReason})`;
      note(`${name}: attached to ${link.hook.iface} in ${link.mode} mode${why}`);
    }
    note(`plane ${plane.name} is up; Ctrl-C takes it down`);
    const reload = (): void => reloadRules(path, running);
    process.on("SIGHUP", reload);
    const live = process.stdout.isTTY && !options.json;
    while (!stop.signal.aborted) {
      if (live) logUpdate(reportText(running.report(), titles));
      await setTimeout(live ? 500 : 60_000, undefined, { signal: stop.signal }).catch(() => {});
    }
    process.off("SIGHUP", reload);
    if (live) {
      logUpdate.clear();
      logUpdate.done();
    }
    const report = running.report();
    const modes = Object.fromEntries(
      [...running.links].map(([name, l]) => [name, { device: l.hook.iface, mode: l.mode }]),
    );
    if (options.json) printJson({ ...report, target: "linux", links: modes });
    else print(reportText(report, titles));
  } finally {
    process.off("SIGINT", onStop);
    process.off("SIGTERM", onStop);
  }
  note(`plane ${plane.name} is down: everything is detached`);
}

/** A mistake in the file, or a change that needs a rebuild, leaves the running plane as it is. */
function reloadRules(path: string, running: Plane): void {
  try {
    running.update(parsePlane(readFileSync(path, "utf8"), path));
    note(`${path}: rules reloaded`);
  } catch (e) {
    if (!(e instanceof BpfError) && !(e as NodeJS.ErrnoException).code) throw e;
    note(`${(e as Error).message}\nthe running plane is unchanged`);
  }
}
