/**
 * Members of an XDP chain in the record of its attachment: a folder with a file each, in the order in which they run.
 * Another composition is written beside, put in place by the link, and then takes the old one's name; whichever folder
 * names the program that is attached is the true one, whenever a process ends between.
 */
import { mkdirSync, readdirSync, renameSync, rmSync, unlinkSync } from "node:fs";
import { BpfError } from "@ebplane/core/errors";
import { hookText } from "@ebplane/core/object";
import {
  type ChainMember,
  chainPrograms,
  type LinuxProgram,
  openLink,
  openMap,
  ordered,
  readMember,
  restoreMember,
  type StoredMember,
  storeMember,
  withMembers,
} from "@ebplane/linux";
import type { Attached } from "./listing.ts";
import { type AttachmentRecord, mapPins } from "./records.ts";

/** A member that joins, with the place that it is given. */
export type NewMember = ChainMember & { readonly priority: number };
type Entry = StoredMember | NewMember;

const isStored = (entry: Entry): entry is StoredMember => "stored" in entry;

/** The members of what is attached, first to run first; none where it is not a chain that this command can change. */
export function chainOf({ record, progId }: Pick<Attached, "record" | "progId">): readonly StoredMember[] {
  if (!record) return [];
  for (const folder of [settled(record), next(record)]) {
    const members = files(folder).map((file) => readMember(`${folder}/${file}`));
    if (members[0]?.progId === progId) return members;
  }
  return [];
}

/** Writes the members of a program that is about to be put in place; `settle` when it is. */
export function writeChain(record: AttachmentRecord, progId: number, entries: readonly Entry[]): void {
  const folder = next(record);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { mode: 0o700 });
  entries.forEach((entry, i) => {
    const path = `${folder}/${i}`;
    if (isStored(entry)) restoreMember(path, entry, progId);
    else storeMember(path, { ...entry, progId });
  });
}

export function settleChain(record: AttachmentRecord): void {
  rmSync(settled(record), { recursive: true, force: true });
  renameSync(next(record), settled(record));
}

/** Puts more programs into the chain that is attached. @throws BpfError where there is none to join. */
export function joinChain(attached: Attached, joining: readonly NewMember[]): LinuxProgram {
  const members = chainOf(attached);
  if (members.length === 0) {
    const who = `program ${attached.progId}${attached.progName ? ` (${attached.progName})` : ""}`;
    throw new BpfError("ECHAIN", `${attached.text}: ${who} was not attached by ebplane as one to be joined: detach it`);
  }
  return putInPlace(attached, ordered([...members, ...joining]));
}

/** Takes one program out; its maps go, unless another member uses them. */
export function leaveChain(attached: Attached, leaving: StoredMember): void {
  const rest = chainOf(attached).filter((member) => member.path !== leaving.path);
  putInPlace(attached, rest).close();
  const used = new Set(rest.flatMap(({ maps }) => maps));
  for (const { path } of mapPins(attached.record!)) {
    using map = openMap({ path });
    if (leaving.maps.includes(map.id) && !used.has(map.id)) unlinkSync(path);
  }
}

function putInPlace(attached: Attached, entries: readonly Entry[]): LinuxProgram {
  const { record, linkId } = attached;
  const program = withMembers(entries.filter(isStored), (opened) => {
    const stored = opened[Symbol.iterator]();
    return chainPrograms(entries.map((entry) => (isStored(entry) ? stored.next().value! : entry)));
  });
  try {
    writeChain(record!, program.id, entries);
    using link = openLink({ id: linkId });
    link.update(program);
    settleChain(record!);
    return program;
  } catch (error) {
    program.close();
    throw error;
  }
}

/** The member that is meant by a name, or by its place in the chain. @throws BpfError when several have the name. */
export function memberOf(attached: Attached, which: string): StoredMember | undefined {
  const members = chainOf(attached);
  const [, place] = /^#(\d+)$/.exec(which) ?? [];
  if (place !== undefined) return members[Number(place) - 1];
  const named = members.filter(({ name }) => name === which);
  if (named.length > 1) {
    const where = named.map((member) => `#${members.indexOf(member) + 1}`).join(", ");
    const hook = attached.hook ? hookText(attached.hook) : attached.text;
    throw new BpfError("EAMBIGUOUS", `${hook}: several programs are named ${which}: choose by place: ${where}`);
  }
  return named[0];
}

const settled = (record: AttachmentRecord): string => `${record.path}/chain`;
const next = (record: AttachmentRecord): string => `${record.path}/chain-next`;

function files(folder: string): string[] {
  try {
    return readdirSync(folder).sort((a, b) => Number(a) - Number(b));
  } catch {
    return [];
  }
}
