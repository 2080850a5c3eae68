/**
 * A plane that runs until Ctrl-C or SIGTERM: the table live on a terminal, at the end in any case. SIGHUP reads the
 * plane file again and puts changed rules into the running maps.
 */
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { BpfError } from "@ebplane/core/errors";
import { type Plane, type PlaneSpec, parsePlane } from "@ebplane/functions";
import logUpdate from "log-update";
import { note, print, printJson } from "../output.ts";
import { reportText } from "../plane-table.ts";

/** What was started. `facts` go into the JSON document beside the report. */
export interface Operated {
  readonly plane: Plane;
  /** What to say beside an interface's name. */
  readonly titles: ReadonlyMap<string, string>;
  readonly facts: Readonly<Record<string, unknown>>;
  close(): void;
}

export async function operate(
  path: string,
  { name }: PlaneSpec,
  options: { readonly json: boolean; readonly stays?: boolean },
  start: () => Operated,
): Promise<void> {
  const stop = new AbortController();
  const onStop = (): void => stop.abort();
  // Before anything is attached: an early Ctrl-C must not leave half a plane.
  process.on("SIGINT", onStop);
  process.on("SIGTERM", onStop);
  try {
    const { plane, titles, facts, close } = start();
    const reload = (): void => reloadRules(path, plane);
    process.on("SIGHUP", reload);
    try {
      note(`plane ${name} is up; Ctrl-C ${options.stays ? "leaves it running in the kernel" : "takes it down"}`);
      const live = process.stdout.isTTY && !options.json;
      while (!stop.signal.aborted) {
        if (live) logUpdate(reportText(plane.report(), titles));
        await setTimeout(live ? 500 : 60_000, undefined, { signal: stop.signal }).catch(() => {});
      }
      if (live) {
        logUpdate.clear();
        logUpdate.done();
      }
      const report = plane.report();
      if (options.json) printJson({ ...report, ...facts });
      else print(reportText(report, titles));
    } finally {
      process.off("SIGHUP", reload);
      close();
    }
  } finally {
    process.off("SIGINT", onStop);
    process.off("SIGTERM", onStop);
  }
  if (options.stays) note(`plane ${name} goes on in the kernel: ebplane down ${name} takes it away`);
  else note(`plane ${name} is down: everything is detached`);
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
