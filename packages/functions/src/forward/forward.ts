/** Sends packets out of another interface of the plane, unchanged: a wire, of everything or of one VLAN. */
import { z } from "zod";
import type { FunctionKind } from "../kind.ts";

const schema = z.strictObject({
  to: z.string().describe("The interface of this plane that the packets leave by."),
  vlan: z
    .int()
    .min(0)
    .max(4094)
    .optional()
    .describe("Only packets of this outermost VLAN id (0: untagged); all when absent."),
});
export type ForwardConfig = z.infer<typeof schema>;

/** Folded in place of a VLAN id: every packet. */
const ANY_VLAN = 0xffff;

export const forward: FunctionKind<ForwardConfig> = {
  type: "forward",
  description: "Sends packets out of another interface, unchanged; the others go on.",
  schema,
  source: "forward/forward.bpf.ts",
  reasons: [],
  check(config, plane) {
    if (plane.interfaces.includes(config.to)) return [];
    return [
      { path: ["to"], message: `no interface named ${config.to}: expected one of ${plane.interfaces.join(", ")}` },
    ];
  },
  constants: (config, plane) => ({ TO: plane.interfaces.indexOf(config.to), VLAN: config.vlan ?? ANY_VLAN }),
  contents: () => new Map(),
  redirectsTo: (config) => [config.to],
  details: () => [],
};
