/**
 * What the command leaves in bpffs so that an attachment outlives it: a directory each under /sys/fs/bpf/ebplane/attached,
 * named `LINK@NETNS@HOOK`, with the pinned link and the program's maps. bpffs holds no files of text, so all that there
 * is to remember stands in names. An attachment without a link (tc filter, route) has link 0.
 */
import { mkdirSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { type Hook, hookText, parseHook } from "@ebplane/core/object";
import { BPFFS } from "@ebplane/linux";

const HOME = `${BPFFS}/ebplane/attached`;
/** The longest name that a directory takes is 255 bytes. */
const MAX_HOOK = 200;

/** What an attachment without a link changed beside, and its detaching takes back. */
export type Mark = "clsact" | "route";

export interface AttachmentRecord {
  readonly path: string;
  readonly linkId: number;
  /** Inode of the network namespace, for hooks that belong to one. */
  readonly netns: number | undefined;
  /** Undefined for a hook whose text is too long for a name. */
  readonly hook: Hook | undefined;
}

/** Every record, of all network namespaces; none without bpffs. */
export function readRecords(): AttachmentRecord[] {
  let names: string[];
  try {
    names = readdirSync(HOME);
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    const [, link, netns, hook] = /^(\d+)@(\d*)@(.*)$/.exec(name) ?? [];
    if (link === undefined) return [];
    return {
      path: `${HOME}/${name}`,
      linkId: Number(link),
      netns: netns ? Number(netns) : undefined,
      hook: readHook(hook!),
    };
  });
}

function readHook(name: string): Hook | undefined {
  try {
    return parseHook(decodeName(name));
  } catch {
    return undefined;
  }
}

/** Makes a record's directory, with one for maps and one for each mark. */
export function createRecord(
  linkId: number,
  netns: number | undefined,
  hook: Hook,
  marks: readonly Mark[] = [],
): AttachmentRecord {
  const text = encodeName(recordText(hook));
  const path = `${HOME}/${linkId}@${netns ?? ""}@${text.length > MAX_HOOK ? "" : text}`;
  mkdirSync(mapsOf(path), { recursive: true, mode: 0o700 });
  for (const mark of marks) mkdirSync(`${path}/${mark}`, { mode: 0o700 });
  return { path, linkId, netns, hook };
}

/** The hook's text as a record has it: a socket map by its id, since names of maps are not unique. */
export function recordText(hook: Hook): string {
  if (hook.kind !== "sockmap") return hookText(hook);
  const { id, spec } = hook.map;
  return hookText({ ...hook, map: { id, spec: { name: id ? String(id) : spec.name } } });
}

export function marksOf(record: AttachmentRecord): Set<string> {
  return new Set(readdirSync(record.path));
}

/** Removes the directory, and with the last record those above it. */
export function removeRecord(record: AttachmentRecord): void {
  rmSync(record.path, { recursive: true, force: true });
  try {
    rmdirSync(HOME);
    rmdirSync(dirname(HOME));
  } catch {
    // Not empty: something else of ebplane's is there.
  }
}

export function linkPin(record: AttachmentRecord): string {
  return `${record.path}/link`;
}

export function mapPin(record: AttachmentRecord, map: string): string {
  return `${mapsOf(record.path)}/${encodeName(map)}`;
}

/** The pinned maps' own names and files. */
export function mapPins(record: AttachmentRecord): { readonly name: string; readonly path: string }[] {
  const folder = mapsOf(record.path);
  try {
    return readdirSync(folder).map((file) => ({ name: decodeName(file), path: `${folder}/${file}` }));
  } catch {
    return [];
  }
}

function mapsOf(path: string): string {
  return `${path}/maps`;
}

/** bpffs takes no dots in names, nor does a name take a slash; `@` parts ours. */
export function encodeName(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => {
    const char = String.fromCharCode(byte);
    return /[A-Za-z0-9_:-]/.test(char) ? char : `%${byte.toString(16).padStart(2, "0")}`;
  }).join("");
}

export function decodeName(name: string): string {
  return decodeURIComponent(name);
}
