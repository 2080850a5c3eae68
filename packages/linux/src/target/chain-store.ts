/**
 * Members of an XDP chain that outlive the process that made it: each one's code in a map of its own, which bpffs can
 * name, so that another process can compose the chain anew with one more or one less. The kernel keeps a program only as
 * the verifier rewrote it, and a bpffs holds no files of text; a map's value holds anything.
 *
 * What of a program stands in other objects is kept by id: its maps must be pinned beside. Kernel functions and types are
 * numbers of the running kernel, as the pins are. Read dispatcher.ts first.
 */
import { BpfError, Errno } from "@ebplane/core/errors";
import { BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE, decode, OP_LDDW, SLOT } from "@ebplane/core/isa";
import { MapType, type ProgramSpec, type XdpActionName } from "@ebplane/core/object";
import { Cmd, cmdName, fdById, LinuxMap, mapCreate, mapInfo, objGet, objPin } from "../bpf/index.ts";
import type { Checked } from "../preflight/index.ts";
import { close, sysError } from "../sys/index.ts";
import { specOf } from "./compatible.ts";
import { type ChainMember, type Composable, DEFAULT_CHAIN_CALL, DEFAULT_PRIORITY } from "./dispatcher.ts";

const NAME = "ebplane_member";

export interface StoredMember {
  readonly name: string;
  readonly priority: number;
  readonly chainCallActions: readonly XdpActionName[];
  /** The program that it was a member of: the chain's, or itself where it was alone. */
  readonly progId: number;
  /** Ids of the maps that it uses. */
  readonly maps: readonly number[];
  /** Its code, to be composed again; the file that it was read from. */
  readonly stored: Stored;
  readonly path: string;
}

/** What stands in the map, as JSON. */
interface Stored {
  readonly version: 1;
  readonly priority: number;
  readonly actions: readonly XdpActionName[];
  readonly progId: number;
  readonly spec: Pick<ProgramSpec, "name" | "type" | "attachType" | "flags" | "lineInfo">;
  readonly license: string;
  /** In base64, with a map's id where the fd goes. */
  readonly code: string;
}

/** What a member is stored by. */
export interface ToStore extends ChainMember {
  readonly progId: number;
}

/** Pins a member at `path`. Its maps stay as long as somebody pins them. */
export function storeMember(path: string, { program, priority, chainCallActions, progId }: ToStore): void {
  const { name, type, attachType, flags, lineInfo } = program.spec;
  const stored: Stored = {
    version: 1,
    priority: priority ?? DEFAULT_PRIORITY,
    actions: chainCallActions ?? DEFAULT_CHAIN_CALL,
    progId,
    spec: { name, type, attachType, flags, lineInfo },
    license: program.license,
    code: Buffer.from(withMaps(program.code, (fd) => mapInfo(fd).id)).toString("base64"),
  };
  writeStored(path, stored);
}

/** Stores a member anew, as one of another composition. */
export function restoreMember(path: string, { stored }: StoredMember, progId: number): void {
  writeStored(path, { ...stored, progId });
}

function writeStored(path: string, stored: Stored): void {
  const value = new TextEncoder().encode(JSON.stringify(stored));
  const shape = { type: MapType.BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: value.length, maxEntries: 1, flags: 0 };
  using map = new LinuxMap(mapCreate({ ...shape, name: NAME }), { ...shape, name: NAME });
  map.update(new Uint8Array(4), value);
  objPin(map.fd, path);
}

/** @throws BpfError for a file that holds no member. */
export function readMember(path: string): StoredMember {
  const fd = objGet(path);
  if (fd === undefined) throw sysError(cmdName(Cmd.OBJ_GET), Errno.ENOENT, path);
  using map = new LinuxMap(fd, specOf(fd));
  const stored = parseStored(map.lookup(new Uint8Array(4)));
  if (!stored) throw new BpfError("ECHAIN", `${path}: expected a member of an XDP chain, as ebplane attach leaves it`);
  const ids = new Set<number>();
  withMaps(Buffer.from(stored.code, "base64"), (id) => {
    ids.add(id);
    return id;
  });
  const { priority, actions, progId, spec } = stored;
  return { name: spec.name, priority, chainCallActions: actions, progId, maps: [...ids], stored, path };
}

/** What preflight looks at. */
export function checkedMember({ stored: { spec, code } }: StoredMember): Checked {
  return { ...spec, code: Buffer.from(code, "base64") };
}

function parseStored(value: Uint8Array | undefined): Stored | undefined {
  try {
    const stored = JSON.parse(new TextDecoder().decode(value)) as Stored;
    return stored?.version === 1 && typeof stored.code === "string" ? stored : undefined;
  } catch {
    return undefined;
  }
}

/** Members to be composed; their maps are open while `body` runs. @throws BpfError when a map is gone. */
export function withMembers<T>(members: readonly StoredMember[], body: (members: readonly ChainMember[]) => T): T {
  const fds = new Map<number, number>();
  try {
    return body(
      members.map((member) => {
        const { stored, priority, chainCallActions } = member;
        const code = withMaps(Buffer.from(stored.code, "base64"), (id) => {
          const fd = fds.get(id) ?? fdById("map", id);
          if (fd === undefined) throw new BpfError("ECHAIN", `program ${member.name}: its map ${id} is gone`);
          fds.set(id, fd);
          return fd;
        });
        const program: Composable = { spec: stored.spec, license: stored.license, code };
        return { program, priority, chainCallActions };
      }),
    );
  } finally {
    for (const fd of fds.values()) close(fd);
  }
}

/** A copy of the code with another number at each place that names a map. */
function withMaps(code: Uint8Array, replace: (number: number) => number): Uint8Array {
  const copy = Uint8Array.from(code);
  const view = new DataView(copy.buffer);
  for (const insn of decode(copy)) {
    if (insn.opcode !== OP_LDDW || (insn.src !== BPF_PSEUDO_MAP_FD && insn.src !== BPF_PSEUDO_MAP_VALUE)) continue;
    view.setInt32(insn.pc * SLOT + 4, replace(view.getInt32(insn.pc * SLOT + 4, true)), true);
  }
  return copy;
}
