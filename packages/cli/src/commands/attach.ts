/** `ebplane attach`, `detach` and `list`: programs on hooks, staying when the command ends. */
import { existsSync, statfsSync } from "node:fs";
import { BpfError } from "@ebplane/core/errors";
import {
  type CollectionSpec,
  HOOK_PROG_TYPES,
  type Hook,
  hookText,
  type ProgramSpec,
  ProgType,
  parseHook,
  sectionHook,
  XdpAction,
  type XdpActionName,
} from "@ebplane/core/object";
import type { Attachment, ChainOptions, Where } from "@ebplane/linux";
import type { Command } from "commander";
import { UsageError } from "../failure.ts";
import { inSource, loadObject } from "../input.ts";
import { inNamespace, requireKernel } from "../kernel.ts";
import { findMap } from "../kernel-objects.ts";
import { fillMaps } from "../map-file.ts";
import { collect, wholeNumber } from "../options.ts";
import { note, print, printJson, table } from "../output.ts";

interface AttachOptions {
  readonly netns?: string;
  readonly replace?: boolean;
  readonly pinDir: string;
  readonly map: readonly string[];
  readonly reuse: readonly string[];
  readonly via?: string;
  readonly dev?: string;
  readonly headroom?: string;
  readonly defrag?: boolean;
  readonly bound?: boolean;
  readonly cookie?: string;
  readonly next: readonly string[];
  readonly join?: boolean;
  readonly libxdp?: boolean;
  readonly priority?: string;
  readonly chainCall?: string;
  readonly json?: boolean;
}

interface DetachOptions {
  readonly netns?: string;
  readonly link?: string;
  readonly prog?: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

const HOOKS = `
A hook is one of
  xdp:IFACE[:native|generic]      tcx:IFACE:ingress|egress        tc:IFACE:ingress|egress[:PRIORITY]
  cgroup:PATH:TYPE                netns:flow_dissector|sk_lookup  netfilter:4|6:POINT[:PRIORITY]
  lwt:PREFIX:in|out|xmit|seg6local  raw_tp:NAME                   tracepoint:GROUP:NAME
  kprobe:FUNCTION[+OFFSET]        uprobe:PATH:FUNCTION[+OFFSET]   trace[:FUNCTION, tracepoint or LSM hook]
  kprobe_multi:PATTERN,…          uprobe_multi:PATH:PATTERN,…     ksyscall:NAME
  kretprobe, kretprobe_multi, uretprobe, uretprobe_multi, kretsyscall at return; kprobe_session, uprobe_session at both
  netkit:IFACE:primary|peer       struct_ops:NAME                 perf_event:EVENT:PERIOD
  freplace:ID|PIN:FUNCTION        (in the place of a function of a loaded program)
  sockmap:MAP:parser|verdict|skb_verdict|msg     (MAP: of the object, or a live one's name, id or file)
Without one it is what the program's section names (kprobe/tcp_connect, fentry/…, lsm/…, tp/…/…).
PROG may also be a loaded one: id:NUMBER, or its file in bpffs.`;

export function registerAttach(program: Command): void {
  program
    .command("attach <prog> [hook]")
    .description("attach a program (PROG or PROG#NAME) to a hook; it stays until it is detached")
    .addHelpText("after", HOOKS)
    .option("--netns <name>", "the network namespace: a name of ip netns, or a file")
    .option("--replace", "put it in the place of the program that is there, atomically")
    .option("--map <name=file.json>", "fill a map (repeatable)", collect, [])
    .option("--reuse <name=pin>", "use a live map, by its file in bpffs or its id (repeatable)", collect, [])
    .option("--pin-dir <dir>", "where maps that the object pins by name are shared", "/sys/fs/bpf")
    .option("--via <address>", "lwt: the route's gateway")
    .option("--dev <iface>", "lwt: the route's device")
    .option("--headroom <bytes>", "lwt: what an xmit program may push")
    .option("--defrag", "netfilter: whole packets only")
    .option("--next <prog>", "xdp: another program, run when those before it passed (repeatable)", collect, [])
    .option("--join", "xdp: beside what ebplane, or xdp-loader, attached there, as one chain")
    .option("--libxdp", "xdp: as a member of libxdp's dispatcher, which xdp-loader adds to")
    .option("--priority <number>", "xdp: place in the chain: lower runs first, 50 unless said")
    .option("--chain-call <actions>", "xdp: verdicts after which the next one runs, XDP_PASS unless said")
    .option("--cookie <number>", "probes, tracepoints, trace: what bpf_get_attach_cookie gives the program")
    .option("--bound", "xdp: bind the program to the device, for its metadata functions")
    .option("--json", "one JSON document")
    .action(async (path: string, text: string | undefined, options: AttachOptions) => {
      const asked = text === undefined ? undefined : parseHook(text);
      const live = loadedProgram(path);
      const { file, name } = splitProgram(path);
      const object = live ? undefined : await loadObject(file);
      if (!object && !asked) throw new UsageError(`${path}: name a hook: a loaded program has no section`);
      const hook = completeHook(asked ?? hookOfSection(object!, name, file), options);
      const chain = chainOptions(hook, options);
      const own = object && programOf(object, hook, asked !== undefined, name, file);
      const chosen = own && aimed(own, hook);
      const spec =
        object && chosen ? { ...object, programs: new Map(object.programs).set(chosen.name, chosen) } : object;
      if (!spec && (options.next.length || options.join || options.map.length || options.reuse.length)) {
        throw new UsageError(`${path}: --next, --join, --map and --reuse need an object, not a loaded program`);
      }
      const following = await Promise.all(
        options.next.map(async (text) => {
          const next = splitProgram(text);
          const spec = await loadObject(next.file);
          return { spec, program: programFor(hook, [...spec.programs.values()], next.name, next.file) };
        }),
      );
      const reuse = new Map(options.reuse.map(parseReuse));
      for (const map of reuse.keys()) {
        if (!spec?.maps.has(map)) throw new UsageError(`--reuse: no map named ${map} in ${file}`);
      }
      await requireKernel("attach");
      const socketMap = hook.kind === "sockmap" && !spec?.maps.has(hook.map.spec.name) ? hook.map.spec.name : undefined;
      const socketMapPlace = socketMap === undefined ? undefined : await findMap(socketMap);
      const { findingText, libxdpOn, linuxTarget, preflight } = await import("@ebplane/linux");
      const { attachAndKeep, chainAt } = await import("../attachments/attach.ts");
      const answer = await inNamespace(options.netns, (netns) => {
        const chainToCheck = (program: ProgramSpec): Attachment => {
          const there = options.join ? chainAt(hook, netns) : undefined;
          const chained = [...following.map((next) => next.program), ...(there?.members ?? [])];
          return { program, hook, chained, replaces: there?.link };
        };
        const libxdp =
          options.libxdp ||
          (options.join && hook.kind === "xdp" && libxdpOn(linuxTarget().ifindex(hook.iface)) !== undefined);
        if (libxdp && following.length) throw new UsageError("--next: libxdp's dispatcher takes one program at a time");
        // Of a hook that works already there is nothing to find out but that it is taken.
        const attachments = options.replace || libxdp || !chosen ? [] : [chainToCheck(chosen)];
        for (const finding of preflight(attachments)) {
          if (finding.severity === "error") throw new BpfError("EPREFLIGHT", findingText(finding));
          note(findingText(finding));
        }
        const attach = () =>
          attachAndKeep({
            source: live ? { live } : { spec: spec!, program: chosen?.name },
            hook,
            socketMap: socketMapPlace,
            chain,
            libxdp: libxdp ?? false,
            join: options.join ?? false,
            following: following.map(({ spec, program }) => ({ spec, program: program.name })),
            netns,
            replace: options.replace ?? false,
            pinDirectory: options.pinDir,
            reuse,
            bound: options.bound ?? false,
            fill: (maps) => fillMaps(maps, options.map),
          });
        return spec ? inSource(spec, attach) : attach();
      });
      if (options.json) {
        printJson({ ...answer, hook: hookText(answer.hook), fallbackReason: answer.fallbackReason ?? null });
        return;
      }
      const mode = answer.mode === undefined ? "" : ` in ${answer.mode} mode`;
      const why = answer.fallbackReason === undefined ? "" : `: native mode was refused (${answer.fallbackReason})`;
      const link = answer.linkId ? `, link ${answer.linkId}` : "";
      const what = answer.progId ? `program ${answer.progId}` : "struct_ops";
      if (answer.joined !== undefined) {
        print(
          `${hookText(answer.hook)}: ${answer.program} has joined: ${answer.joined} programs in one chain (${what}${link})`,
        );
        for (const map of answer.maps) print(`  map ${map.name}: id ${map.id}${map.pin ? `, ${map.pin}` : ""}`);
        return;
      }
      const instead = answer.replaced === undefined ? "" : `, in place of program ${answer.replaced}`;
      print(`${hookText(answer.hook)}: ${answer.program} is attached${mode} (${what}${link})${instead}${why}`);
      for (const map of answer.maps) print(`  map ${map.name}: id ${map.id}${map.pin ? `, ${map.pin}` : ""}`);
    });

  program
    .command("detach [hook]")
    .description("detach what is attached to a hook, whoever attached it")
    .option("--netns <name>", "the network namespace: a name of ip netns, or a file")
    .option("--link <id>", "only this link")
    .option("--prog <name>", "only this program, by name or id; of an xdp chain by name or place (#2)")
    .option("--all", "everything at the hook")
    .option("--json", "one JSON document")
    .action(async (text: string | undefined, options: DetachOptions) => {
      if (text === undefined && options.link === undefined) throw new UsageError("detach: name a hook, or --link ID");
      const hook = text === undefined ? undefined : await liveHook(parseHook(text));
      const linkId = options.link === undefined ? undefined : wholeNumber(options.link, "--link");
      await requireKernel("detach");
      const { isElsewhere, listAttached } = await import("../attachments/listing.ts");
      const { detach } = await import("../attachments/detach.ts");
      const { chainOf, leaveChain, memberOf } = await import("../attachments/chain.ts");
      const { atHook } = await import("../attachments/match.ts");
      const { found, left } = await inNamespace(options.netns, (netns) => {
        const found = listAttached(netns).filter((a) => {
          const elsewhere = isElsewhere(a, netns);
          if (linkId !== undefined) {
            const among = a.way.by === "one of" && a.way.links.includes(linkId);
            if (a.linkId !== linkId && !among) return false;
          } else if (elsewhere) return false;
          if (hook && !atHook(hook, a)) return false;
          if (options.prog === undefined || a.progName === options.prog || String(a.progId) === options.prog)
            return true;
          return memberOf(a, options.prog) !== undefined;
        });
        const left: string[] = [];
        const where = [text, linkId === undefined ? "" : `link ${linkId}`].filter(Boolean).join(", ");
        if (found.length === 0) throw new UsageError(`${where}: nothing is attached there`);
        if (found.length > 1 && !options.all) {
          const each = found.map((a) => `${a.progName || "?"} (${placeText(a)})`);
          throw new UsageError(
            `${where}: ${found.length} programs are attached: ${each.join(", ")}: choose with --prog or --link, or --all`,
          );
        }
        for (const a of found) {
          const member = options.prog === undefined ? undefined : memberOf(a, options.prog);
          if (member && chainOf(a).length > 1) {
            leaveChain(a, member);
            left.push(`${a.text}: ${member.name} has left the chain`);
            continue;
          }
          detach(linkId !== undefined && a.way.by === "one of" ? { ...a, way: { by: "link", id: linkId } } : a);
        }
        return { found, left };
      });
      if (options.json) printJson({ detached: found.map((a) => attachedJson(a)), left });
      else if (left.length) for (const line of left) print(line);
      else for (const a of found) print(`${a.text}: ${a.progName || "program"} is detached`);
    });

  program
    .command("list")
    .description("list what is attached, ours and others'")
    .option("--netns <name>", "the network namespace: a name of ip netns, or a file")
    .option("--json", "one JSON document")
    .action(async ({ netns, json }: { netns?: string; json?: boolean }) => {
      await requireKernel("list");
      const { DEFAULT_PRIORITY } = await import("@ebplane/linux");
      const { listAttached } = await import("../attachments/listing.ts");
      const { chainOf } = await import("../attachments/chain.ts");
      const { planesOfLinks } = await import("../up/pinned.ts");
      const { attached, here, planes } = await inNamespace(netns, (inode) => ({
        attached: listAttached(inode).map((a) => ({ ...a, chain: a.hook?.kind === "xdp" ? chainOf(a) : [] })),
        here: inode,
        planes: planesOfLinks(inode),
      }));
      if (json) {
        const attachments = attached.map((a) => ({
          ...attachedJson(a, planes.get(a.linkId)),
          chain: a.chain.map(({ name, priority, chainCallActions, maps }) => ({
            name,
            priority,
            chainCallActions,
            maps,
          })),
        }));
        printJson({ netns: here, attachments });
        return;
      }
      if (attached.length === 0) {
        print("nothing is attached");
        return;
      }
      const rows = attached.flatMap((a) => [
        [
          a.text,
          a.progName || "?",
          a.progId ? String(a.progId) : "",
          a.linkId ? String(a.linkId) : "",
          planes.has(a.linkId) ? `plane ${planes.get(a.linkId)}` : ownerText(a, here),
        ],
        // A program alone at the usual place is no chain yet.
        ...(a.chain.length > 1 || a.chain.some((m) => m.priority !== DEFAULT_PRIORITY) ? a.chain : []).map((m, i) => [
          `  #${i + 1} priority ${m.priority}, next on ${m.chainCallActions.join(", ") || "nothing"}`,
          m.name,
          "",
          "",
          "",
        ]),
      ]);
      print(table(["hook", "program", "id", "link", "by"], rows, ["id", "link"]));
    });
}

/** Priority and chain-call actions. @throws UsageError for hooks without chains and for what is no action. */
function chainOptions(
  hook: Hook,
  { next, join, libxdp, priority, chainCall, bound, replace }: AttachOptions,
): ChainOptions {
  const given: Readonly<Record<string, unknown>> = {
    "--next": next.length > 0,
    "--join": join,
    "--libxdp": libxdp,
    "--priority": priority,
    "--chain-call": chainCall,
  };
  const used = Object.keys(given).find((option) => given[option]);
  if (used === undefined) return {};
  if (hook.kind !== "xdp") throw new UsageError(`${used}: only xdp programs are chained`);
  if (bound) throw new UsageError(`${used}: a chain is not bound to a device: leave out --bound`);
  if ((join || libxdp) && replace) throw new UsageError(`${used} and --replace exclude each other`);
  const chainCallActions = chainCall?.split(",").map((text) => {
    const known = Object.keys(XdpAction).find((name) => name === text) as XdpActionName | undefined;
    if (known) return known;
    throw new UsageError(`--chain-call: expected ${Object.keys(XdpAction).join(", ")}, got ${text}`);
  });
  return { priority: priority === undefined ? undefined : wholeNumber(priority, "--priority"), chainCallActions };
}

/** A program that is loaded already, where the text names one: an id, or a file in bpffs. */
function loadedProgram(text: string): Where | undefined {
  const [, id] = /^id:(\d+)$/.exec(text) ?? [];
  if (id !== undefined) return { id: Number(id) };
  return existsSync(text) && statfsSync(text).type === BPF_FS_MAGIC ? { path: text } : undefined;
}

const BPF_FS_MAGIC = 0xcafe4a11;

/** A hook on a socket map with the live map's id, where its text is an id or a file. */
async function liveHook(hook: Hook): Promise<Hook> {
  if (hook.kind !== "sockmap") return hook;
  const { name } = hook.map.spec;
  if (!name.includes("/") && !/^\d+$/.test(name)) return hook;
  await requireKernel("attach");
  const { openMap } = await import("@ebplane/linux");
  using map = openMap(await findMap(name));
  return { ...hook, map: { id: map.id, spec: { name: map.spec.name } } };
}

type Attached = import("../attachments/listing.ts").Attached;

function attachedJson(a: Attached, plane?: string): object {
  return {
    hook: a.text,
    kind: a.hook?.kind ?? null,
    program: a.progName,
    progId: a.progId,
    linkId: a.linkId,
    mode: a.mode ?? null,
    by: a.way.by,
    owner: a.record || plane !== undefined ? "ebplane" : "other",
    plane: plane ?? null,
    netns: a.record?.netns ?? null,
    gone: a.gone,
    pin: a.record?.path ?? null,
  };
}

function ownerText(a: Attached, here: number): string {
  if (!a.record) return "";
  if (a.gone) return "ebplane, gone";
  const { netns } = a.record;
  return netns === undefined || netns === here ? "ebplane" : `ebplane, net:[${netns}]`;
}

function placeText(a: Attached): string {
  if (a.linkId) return `link ${a.linkId}`;
  return `id ${a.progId}${a.hook?.kind === "tc" ? `, ${a.text}` : ""}`;
}

/** What the options add to a hook's text. @throws UsageError for an option of another kind of hook. */
function completeHook(hook: Hook, options: AttachOptions): Hook {
  const { via, dev, headroom, defrag } = options;
  if (hook.kind === "lwt") {
    const bytes = headroom === undefined ? undefined : wholeNumber(headroom, "--headroom");
    return { ...hook, via, iface: dev, headroom: bytes };
  }
  if (via !== undefined || dev !== undefined || headroom !== undefined) {
    throw new UsageError(`--via, --dev and --headroom belong to lwt hooks, got ${hookText(hook)}`);
  }
  if (options.cookie !== undefined) {
    if (!COOKIES.has(hook.kind)) throw new UsageError(`--cookie belongs to probes and tracing, got ${hookText(hook)}`);
    if (!/^(0x[0-9a-f]+|\d+)$/i.test(options.cookie))
      throw new UsageError(`--cookie: expected a number, got ${options.cookie}`);
    return { ...hook, cookie: BigInt(options.cookie) } as Hook;
  }
  if (options.bound && hook.kind !== "xdp") throw new UsageError(`--bound belongs to xdp hooks, got ${hookText(hook)}`);
  if (hook.kind === "netfilter") return { ...hook, defrag };
  if (defrag) throw new UsageError(`--defrag belongs to netfilter hooks, got ${hookText(hook)}`);
  return hook;
}

/** Hooks that one cookie goes with. */
const COOKIES: ReadonlySet<Hook["kind"]> = new Set([
  "kprobe",
  "kretprobe",
  "ksyscall",
  "kretsyscall",
  "uprobe",
  "uretprobe",
  "tracepoint",
  "raw_tp",
  "trace",
]);

/** The program for a hook; where the section named that, one of those that have such. Nothing for struct_ops. */
function programOf(
  object: CollectionSpec,
  hook: Hook,
  asked: boolean,
  name: string | undefined,
  file: string,
): ProgramSpec | undefined {
  if (hook.kind === "struct_ops") return structOpsFor(hook.name, object, file);
  const programs = [...object.programs.values()];
  return programFor(hook, asked ? programs : programs.filter((p) => sectionHook(p)), name, file);
}

/** @throws UsageError where the section names none, or several programs have one. */
function hookOfSection(object: CollectionSpec, name: string | undefined, file: string): Hook {
  const all = [...object.programs.values()].flatMap((p) => {
    const hook = sectionHook(p);
    return hook && (name === undefined || p.name === name) ? [{ name: p.name, hook }] : [];
  });
  const [only] = all;
  if (!only) throw new UsageError(`${file}: name a hook: no section of ${name ?? "its programs"} names one`);
  if (all.length === 1) return only.hook;
  const names = all.map((one) => one.name).join(", ");
  throw new UsageError(`${file}: several programs, name one as ${file}#NAME: ${names}`);
}

/** The program as it is loaded for the hook: of tracing the target is part of it. */
function aimed(program: ProgramSpec, hook: Hook): ProgramSpec {
  if (hook.kind === "freplace") return { ...program, attachTo: hook.function };
  return hook.kind === "trace" && hook.target !== undefined ? { ...program, attachTo: hook.target } : program;
}

/** PROG#NAME, unless there is a file of that whole name. */
function splitProgram(path: string): { file: string; name: string | undefined } {
  const at = path.lastIndexOf("#");
  if (at < 0 || existsSync(path)) return { file: path, name: undefined };
  return { file: path.slice(0, at), name: path.slice(at + 1) };
}

const CGROUP_TYPES: readonly number[] = [
  ProgType.BPF_PROG_TYPE_CGROUP_SKB,
  ProgType.BPF_PROG_TYPE_CGROUP_SOCK,
  ProgType.BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
  ProgType.BPF_PROG_TYPE_CGROUP_SOCKOPT,
  ProgType.BPF_PROG_TYPE_CGROUP_DEVICE,
  ProgType.BPF_PROG_TYPE_CGROUP_SYSCTL,
  ProgType.BPF_PROG_TYPE_SOCK_OPS,
  ProgType.BPF_PROG_TYPE_LSM,
];

/** Program types for each kind of hook, to choose by when an object has several programs. */
const TYPES: typeof HOOK_PROG_TYPES = { ...HOOK_PROG_TYPES, cgroup: CGROUP_TYPES };

/** Nothing: a struct is not one program. @throws UsageError that lists what there is. */
function structOpsFor(name: string, spec: CollectionSpec, file: string): undefined {
  const all = (spec.structOps ?? []).map((s) => s.name);
  if (!all.includes(name)) {
    throw new UsageError(`${file}: no struct_ops named ${name}; it has ${all.join(", ") || "none"}`);
  }
}

/** The named program, or the only one that fits the hook. @throws UsageError that lists what there is. */
function programFor(hook: Hook, programs: readonly ProgramSpec[], name: string | undefined, file: string): ProgramSpec {
  const names = (of: readonly ProgramSpec[]): string => of.map((p) => p.name).join(", ") || "none";
  if (name !== undefined) {
    const named = programs.find((p) => p.name === name);
    if (!named) throw new UsageError(`${file}: no program named ${name}; it has ${names(programs)}`);
    return named;
  }
  const types = TYPES[hook.kind];
  const fitting = types ? programs.filter((p) => types.includes(p.type)) : programs;
  const [only] = fitting;
  if (!only) throw new UsageError(`${file}: no program for ${hookText(hook)}; it has ${names(programs)}`);
  if (fitting.length > 1) {
    throw new UsageError(`${file}: several programs, name one as ${file}#NAME: ${names(fitting)}`);
  }
  return only;
}

function parseReuse(text: string): [string, { path: string } | { id: number }] {
  const [, name, where] = /^([^=]+)=(.+)$/.exec(text) ?? [];
  if (!name || !where) throw new UsageError(`--reuse: expected NAME=PIN or NAME=ID, got ${text}`);
  return [name, /^\d+$/.test(where) ? { id: Number(where) } : { path: where }];
}
