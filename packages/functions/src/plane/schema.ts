/**
 * The plane file's schema: shapes and value ranges. Cross references are checked in `parse.ts`.
 * The JSON Schema that editors complete from is made from the same definitions.
 */
import { z } from "zod";
import type { FunctionKind } from "../kind.ts";
import { FUNCTION_KINDS } from "../kinds.ts";

/** The longest name that still fits the kernel's 15 characters beside a map's own name. */
const NAME = /^[a-z][a-z0-9_-]{0,14}$/;
const name = z.string().regex(NAME, "a name: a lower-case letter, then up to 14 letters, digits, _ or -");

const iface = z
  .strictObject({
    device: z
      .string()
      .min(1)
      .max(15)
      .optional()
      .describe("The network device on --target linux; the interface's own name when absent."),
    xdp: name.optional().describe("The chain that every packet arriving here runs through."),
    mode: z
      .enum(["auto", "native", "generic"])
      .default("auto")
      .describe("XDP mode on --target linux: auto tries native first."),
    pcap: z
      .string()
      .min(1)
      .optional()
      .describe("On --target sim: the capture whose packets arrive here, relative to the plane file."),
  })
  .describe("One interface of the plane.");

export interface InterfaceConfig {
  readonly device?: string | undefined;
  readonly xdp?: string | undefined;
  readonly mode: "auto" | "native" | "generic";
  readonly pcap?: string | undefined;
}

/** A function's configuration with its kind resolved. */
export interface FunctionConfig {
  readonly kind: FunctionKind;
  readonly config: unknown;
}

/** A plane file that passed every check. Insertion order is the file's order. */
export interface PlaneSpec {
  readonly name: string;
  readonly interfaces: ReadonlyMap<string, InterfaceConfig>;
  readonly functions: ReadonlyMap<string, FunctionConfig>;
  readonly chains: ReadonlyMap<string, readonly string[]>;
}

const functionNodes = FUNCTION_KINDS.map((kind) =>
  kind.schema.extend({ type: z.literal(kind.type) }).describe(kind.description),
);

/** The file as a whole. */
export const planeSchema = z
  .strictObject({
    plane: name.describe("The plane's name."),
    interfaces: z.record(name, iface).describe("Where packets arrive and leave."),
    functions: z
      .record(name, z.discriminatedUnion("type", functionNodes as [(typeof functionNodes)[number]]))
      .default({})
      .describe("Network functions by name. Chains that name the same function share its state."),
    chains: z
      .record(name, z.array(name))
      .default({})
      .describe("The functions that a packet meets, in order, until one decides; then it goes to the host's stack."),
  })
  .describe("An ebplane plane: interfaces, network functions and the chains between them.");

/** The network device behind an interface of the plane: its own name where the file gives none. */
export function deviceOf(plane: PlaneSpec, name: string): string {
  return plane.interfaces.get(name)?.device ?? name;
}

/** The JSON Schema (draft 2020-12) of the plane file. */
export function planeJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(planeSchema, { io: "input" }) as Record<string, unknown>;
}
