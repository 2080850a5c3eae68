/** `Target` on the real kernel: what `sim` does in userspace, through bpf(2). */
import {
  type CollectionSpec,
  type Hook,
  type Link,
  type Program,
  sectionHook,
  type Target,
  type XdpHook,
} from "@ebplane/core/object";
import { LinuxMap, possibleCpus } from "../bpf/index.ts";
import { attach, type BpfLink, ifindex } from "../link/index.ts";
import { inNetns } from "../sys/index.ts";
import { type LinuxCollection, type LinuxLoadOptions, linuxProgram, loadCollection } from "./load.ts";

export interface LinuxTargetOptions {
  /** An fd of the network namespace whose interfaces hooks name; the calling thread's own when absent. Borrowed. */
  readonly netns?: number;
  /** Default of `LinuxLoadOptions.logLevel`. */
  readonly logLevel?: number;
}

export interface LinuxTarget extends Target {
  readonly name: "linux";
  load(spec: CollectionSpec, options?: LinuxLoadOptions): LinuxCollection;
  attach(program: Program, hook: XdpHook): BpfLink<XdpHook>;
  /** Without a hook, to the one that the program's section names. @throws TypeError where it names none. */
  attach(program: Program, hook?: Hook): Link<Hook>;
}

/** The kernel as a target. @throws UnsupportedError when this is not Linux or koffi is missing. */
export function linuxTarget(options: LinuxTargetOptions = {}): LinuxTarget {
  const inside = <T>(body: () => T): T => (options.netns === undefined ? body() : inNetns(options.netns, body));
  return {
    name: "linux",
    cpus: possibleCpus(),
    load: (spec, load) => {
      const loaded = inside(() => loadCollection(spec, { logLevel: options.logLevel, ...load }));
      for (const map of loaded.maps.values()) {
        if (options.netns !== undefined && map instanceof LinuxMap) map.devicesOf(options.netns);
      }
      return loaded;
    },
    ifindex: (device) => inside(() => ifindex(device)),
    // The overloads promise for XDP what attachXdp returns.
    attach: ((program: Program, hook: Hook = ownHook(program)) =>
      inside(() => attach(linuxProgram(program), hook, linuxProgram))) as LinuxTarget["attach"],
  };
}

function ownHook({ spec }: Program): Hook {
  const hook = sectionHook(spec);
  if (hook) return hook;
  throw new TypeError(`program ${spec.name}: name a hook: the section ${JSON.stringify(spec.section)} names none`);
}
