/** Whether a live map can stand for a spec. */
import { BpfError } from "@ebplane/core/errors";
import { type MapSpec, mapTypeName } from "@ebplane/core/object";
import { mapInfo } from "../bpf/index.ts";

/** The fields of a map's info that its users rely on. */
export function specOf(fd: number): MapSpec {
  const { name, type, keySize, valueSize, maxEntries, flags, mapExtra } = mapInfo(fd);
  return { name, type, keySize, valueSize, maxEntries, flags, mapExtra };
}

/**
 * @throws BpfError (EINCOMPATIBLE) unless the live map can stand for the spec: same type, sizes and flags.
 */
export function checkCompatible(spec: MapSpec, live: MapSpec, where: string): void {
  const differences: string[] = [];
  if (live.type !== spec.type) differences.push(`type ${mapTypeName(live.type)}, expected ${mapTypeName(spec.type)}`);
  for (const field of ["keySize", "valueSize", "maxEntries"] as const) {
    if (live[field] !== spec[field]) differences.push(`${field} ${live[field]}, expected ${spec[field]}`);
  }
  if (live.flags !== spec.flags) {
    differences.push(`flags 0x${live.flags.toString(16)}, expected 0x${spec.flags.toString(16)}`);
  }
  if (differences.length)
    throw new BpfError("EINCOMPATIBLE", `map ${spec.name}: ${where} has ${differences.join("; ")}`);
}
