/**
 * The collection's own BTF, on its way into the kernel: types as the object has them, the strings that line info
 * needs, and the records that tie instructions to functions and source lines.
 *
 * Kinds that an older kernel does not know are replaced (btf-older.ts). Should it refuse the BTF even so, it gets the
 * programs without: only what needs types (callbacks, spin locks, global functions) fails then, with the verifier's words.
 */
import { type Btf, type BtfType, type EncodedBtf, encodeBtf } from "@ebplane/core/btf";
import { viewOf } from "@ebplane/core/bytes";
import { Errno, errnoName } from "@ebplane/core/errors";
import type { CollectionSpec, ProgramSpec } from "@ebplane/core/object";
import { btfLoad, type InfoRecords } from "../bpf/index.ts";
import { close } from "../sys/index.ts";
import { readableTypes } from "./btf-older.ts";

const FUNC_INFO = 8;
const LINE_INFO = 16;

export class LoadedBtf {
  #fd: number;
  readonly #strings: EncodedBtf["strings"];

  constructor(fd: number, strings: EncodedBtf["strings"]) {
    this.#fd = fd;
    this.#strings = strings;
  }

  get fd(): number {
    if (this.#fd < 0) throw new TypeError("btf: is closed");
    return this.#fd;
  }

  /** `struct bpf_func_info` records, or undefined when the spec does not have what the kernel asks for. */
  funcInfo(program: ProgramSpec): InfoRecords | undefined {
    const { funcInfo } = program;
    if (funcInfo[0]?.pc !== 0) return undefined;
    const records = new Uint8Array(funcInfo.length * FUNC_INFO);
    const view = viewOf(records);
    funcInfo.forEach(({ pc, typeId }, i) => {
      view.setUint32(i * FUNC_INFO, pc, true);
      view.setUint32(i * FUNC_INFO + 4, typeId, true);
    });
    return { recordSize: FUNC_INFO, records };
  }

  /** `struct bpf_line_info` records; undefined unless each function begins with a line, which the kernel asks for. */
  lineInfo(program: ProgramSpec): InfoRecords | undefined {
    const { funcInfo, lineInfo } = program;
    const starts = new Set(lineInfo.map(({ pc }) => pc));
    if (!funcInfo.every(({ pc }) => starts.has(pc))) return undefined;
    const records = new Uint8Array(lineInfo.length * LINE_INFO);
    const view = viewOf(records);
    lineInfo.forEach(({ pc, file, text, line, col }, i) => {
      const at = i * LINE_INFO;
      view.setUint32(at, pc, true);
      view.setUint32(at + 4, this.#strings.get(file) ?? 0, true);
      view.setUint32(at + 8, this.#strings.get(text) ?? 0, true);
      view.setUint32(at + 12, (line << 10) | Math.min(col, 1023), true);
    });
    return { recordSize: LINE_INFO, records };
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    close(fd);
  }
}

/** Loads the collection's BTF. A string says why the kernel refuses it; undefined when there is none. */
export function loadBtf(spec: CollectionSpec, tokenFd?: number): LoadedBtf | string | undefined {
  if (!spec.btf || spec.btf.length <= 1) return undefined;
  const extraStrings: string[] = [];
  for (const { lineInfo } of spec.programs.values()) {
    for (const { file, text } of lineInfo) extraStrings.push(file, text);
  }
  const types = loadable(spec.btf);
  const load = (as: readonly BtfType[]) => {
    const { bytes, strings } = encodeBtf(as, { extraStrings });
    return { ...btfLoad(bytes, tokenFd), strings };
  };
  let answer = load(types);
  // The last type is the int that loadable adds.
  if (answer.fd === -Errno.EINVAL) answer = load(readableTypes(types, types.length));
  const { fd, log, strings } = answer;
  if (fd >= 0) return new LoadedBtf(fd, strings);
  return log.trim().split("\n").at(-1) || errnoName(-fd);
}

const INT: BtfType = { kind: "int", name: "int", size: 4, bits: 32, bitOffset: 0, encoding: "signed" };

/**
 * The types, ids unchanged, with what only linkers understand replaced: the kernel takes no extern functions or
 * variables (which may even be void), no parameter without a name in a function, and no section without a size
 * (`.ksyms`, `.kconfig`). Source: libbpf.c `bpf_object__collect_externs`, which changes the same.
 */
function loadable(btf: Btf): BtfType[] {
  const types: BtfType[] = [];
  for (let id = 1; id < btf.length; id++) {
    const type = btf.type(id);
    if (type.kind === "func" && type.linkage === "extern") types.push({ ...type, linkage: "global" });
    else if (type.kind === "var" && type.linkage === "extern") {
      types.push({ ...type, linkage: "global", type: btf.length });
    } else if (type.kind === "datasec" && (type.name === ".ksyms" || type.size === 0)) {
      types.push({ kind: "typedef", name: `unused_${id}`, type: 0 });
    } else types.push(type);
  }
  types.push(INT);
  for (const type of types) {
    if (type.kind !== "func") continue;
    const proto = types[type.type - 1];
    if (proto?.kind !== "funcProto") continue;
    // A last parameter without name and type is `...`.
    const params = proto.params.map((p, i) => (p.name || !p.type ? p : { ...p, name: `arg${i}` }));
    types[type.type - 1] = { ...proto, params };
  }
  return types;
}
