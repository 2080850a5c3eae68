/**
 * Probes of many places by one link: kernel functions through fprobe, places of a file through uprobes.
 * Source: kernel/trace/bpf_trace.c `bpf_kprobe_multi_link_attach`, `bpf_uprobe_multi_link_attach`; the fields of
 * LINK_CREATE in include/uapi/linux/bpf.h.
 */
import { existsSync, readFileSync } from "node:fs";
import { Errno, SysError, UnsupportedError } from "@ebplane/core/errors";
import { AttachType, hookText, type KprobeMultiHook, type UprobeMultiHook } from "@ebplane/core/object";
import type { LinuxProgram } from "../bpf/index.ts";
import { onDetachedMount, type Scratch, scratch, setPointer } from "../mem/index.ts";
import { createLink } from "./create.ts";
import { executablePath, readExecutable } from "./executable.ts";
import { BpfLink, type Unwrap } from "./link.ts";

/** BPF_F_KPROBE_MULTI_RETURN, BPF_F_UPROBE_MULTI_RETURN. */
const RETURN = 1;

type MultiHook = KprobeMultiHook | UprobeMultiHook;

/** What the kinds of link differ in. */
interface Kind {
  readonly attachType: number;
  readonly section: string;
  /** What the kernel must have been built with. */
  readonly option: string;
  readonly place: "function" | "offset";
  readonly count: number;
  /** Puts what LINK_CREATE points to into memory; gives what fills in the kind's own part of it. */
  readonly prepare: (memory: Scratch) => (attr: DataView) => void;
  readonly words: Readonly<Record<number, string>>;
}

export function attachKprobeMulti(
  program: LinuxProgram,
  hook: KprobeMultiHook,
  unwrap: Unwrap,
): BpfLink<KprobeMultiHook> {
  const session = hook.kind === "kprobe_session";
  const places = kernelPlaces(hook);
  checkCookies(hook, places.list.length, hook.functions);
  return attach(program, hook, unwrap, {
    attachType: session ? AttachType.BPF_TRACE_KPROBE_SESSION : AttachType.BPF_TRACE_KPROBE_MULTI,
    section: session ? "kprobe.session" : "kprobe.multi",
    option: "fprobe (CONFIG_FPROBE)",
    place: "function",
    count: places.list.length,
    prepare: (memory) => {
      const list = u64s(
        memory,
        places.by === "address" ? places.list : places.list.map((name) => BigInt(memory.cstring(name))),
      );
      const cookies = u64s(memory, hook.cookies ?? []);
      return (a) => {
        a.setUint32(16, hook.kind === "kretprobe_multi" ? RETURN : 0, true);
        a.setUint32(20, places.list.length, true);
        setPointer(a, places.by === "address" ? 32 : 24, list);
        setPointer(a, 40, cookies);
      };
    },
    words: { [Errno.ESRCH]: "a function that this kernel does not have, or lets nobody trace" },
  });
}

export function attachUprobeMulti(
  program: LinuxProgram,
  hook: UprobeMultiHook,
  unwrap: Unwrap,
): BpfLink<UprobeMultiHook> {
  const session = hook.kind === "uprobe_session";
  const path = executablePath(hook.path);
  const offsets = [...hook.offsets, ...functionOffsets(path, hook.functions ?? [])];
  checkCookies(hook, offsets.length, hook.functions ?? []);
  return attach(program, hook, unwrap, {
    attachType: session ? AttachType.BPF_TRACE_UPROBE_SESSION : AttachType.BPF_TRACE_UPROBE_MULTI,
    section: session ? "uprobe.session" : "uprobe.multi",
    option: "uprobes (CONFIG_UPROBES)",
    place: "offset",
    count: offsets.length,
    prepare: (memory) => {
      const file = memory.cstring(path);
      const list = u64s(memory, offsets.map(BigInt));
      const cookies = u64s(memory, hook.cookies ?? []);
      return (a) => {
        setPointer(a, 16, file);
        setPointer(a, 24, list);
        setPointer(a, 40, cookies);
        a.setUint32(48, offsets.length, true);
        a.setUint32(52, hook.kind === "uretprobe_multi" ? RETURN : 0, true);
        a.setUint32(56, hook.pid ?? 0, true);
      };
    },
    words: {
      [Errno.ENOENT]: "there is no such file",
      [Errno.EBADF]: "it is no regular file",
      [Errno.ESRCH]: `there is no process ${hook.pid}`,
    },
  });
}

function u64s(memory: Scratch, values: readonly bigint[]): number {
  return memory.put(new Uint8Array(BigUint64Array.from(values).buffer));
}

const isPattern = (name: string): boolean => /[*?]/.test(name);

/** A pattern as the shell's, of names. */
function matcher(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`);
}

function checkCookies(hook: MultiHook, places: number, functions: readonly string[]): void {
  if (hook.cookies === undefined) return;
  const pattern = functions.find(isPattern);
  if (pattern !== undefined) throw new TypeError(`${hook.kind}: cookies go with names, ${pattern} is a pattern`);
  if (hook.cookies.length === places) return;
  throw new RangeError(`${hook.kind}: need a cookie for each of ${places} places, have ${hook.cookies.length}`);
}

type KernelPlaces =
  | { readonly by: "name"; readonly list: readonly string[] }
  | { readonly by: "address"; readonly list: readonly bigint[] };

/** Names go to the kernel as they are. Patterns go over what ftrace can trace, by address where it tells those (6.5). */
function kernelPlaces(hook: KprobeMultiHook): KernelPlaces {
  if (!hook.functions.some(isPattern)) return { by: "name", list: hook.functions };
  const patterns = hook.functions.map(matcher);
  const traceable = traceableFunctions().filter(({ name }) => patterns.some((p) => p.test(name)));
  if (traceable.length === 0) throw new RangeError(`${hookText(hook)}: fits no function that this kernel can trace`);
  const addresses = traceable.flatMap(({ address }) => (address === undefined ? [] : [address]));
  if (addresses.length === traceable.length) return { by: "address", list: [...new Set(addresses)] };
  return { by: "name", list: [...new Set(traceable.map(({ name }) => name))] };
}

/** Source: kernel/trace/ftrace.c `avail_funcs`: `[ADDRESS ]NAME[ [MODULE]]` a line. */
function traceableFunctions(): { readonly name: string; readonly address?: bigint }[] {
  return onDetachedMount("tracefs", (root) => {
    const withAddresses = `${root}/available_filter_functions_addrs`;
    const file = existsSync(withAddresses) ? withAddresses : `${root}/available_filter_functions`;
    if (!existsSync(file))
      throw new UnsupportedError("ftrace", "patterns need ftrace, which this kernel was built without");
    return readFileSync(file, "latin1")
      .split("\n")
      .filter(Boolean)
      .map((line) => {
        const words = line.split(" ");
        return file === withAddresses ? { address: BigInt(`0x${words[0]}`), name: words[1]! } : { name: words[0]! };
      });
  });
}

function functionOffsets(path: string, names: readonly string[]): number[] {
  if (names.length === 0) return [];
  const { functions } = readExecutable(path);
  const found = names.flatMap((name) => {
    if (!isPattern(name)) return [functions.get(name) ?? missing(path, name)];
    const pattern = matcher(name);
    return [...functions].filter(([f]) => pattern.test(f)).map(([, offset]) => offset);
  });
  return [...new Set(found)];
}

function missing(path: string, name: string): never {
  throw new RangeError(`${path}: no function ${name} among its symbols`);
}

function attach<H extends MultiHook>(program: LinuxProgram, hook: H, unwrap: Unwrap, kind: Kind): BpfLink<H> {
  const { attachType, section, option, place, count, words } = kind;
  const { name } = program.spec;
  // The kernel says EINVAL to a program that was loaded for single probes.
  if (program.spec.attachType !== attachType) {
    throw new TypeError(`program ${name}: ${hook.kind} needs a program that is loaded for it (section ${section}/…)`);
  }
  if (count === 0) throw new RangeError(`${hook.kind}: expected at least one ${place}`);
  try {
    return scratch((memory) => {
      const fill = kind.prepare(memory);
      return new BpfLink(createLink(hook, { progFd: program.fd, target: 0, attachType, fill }, words), hook, unwrap);
    });
  } catch (error) {
    if (!(error instanceof SysError) || error.errno !== Errno.EOPNOTSUPP) throw error;
    throw new UnsupportedError(hook.kind, `${hookText(hook)}: this kernel was built without ${option}`);
  }
}
