/** Sends every packet out of another interface of the plane, unchanged: a wire between two interfaces. */
import { z } from "zod";
import type { FunctionKind } from "../kind.ts";

const schema = z.strictObject({
  to: z.string().describe("The interface of this plane that the packets leave by."),
});
export type ForwardConfig = z.infer<typeof schema>;

export const forward: FunctionKind<ForwardConfig> = {
  type: "forward",
  description: "Sends every packet out of another interface, unchanged.",
  schema,
  source: "forward/forward.bpf.ts",
  reasons: [],
  check(config, plane) {
    if (plane.interfaces.includes(config.to)) return [];
    return [
      { path: ["to"], message: `no interface named ${config.to}: expected one of ${plane.interfaces.join(", ")}` },
    ];
  },
  constants: (config, plane) => ({ TO: plane.interfaces.indexOf(config.to) }),
  contents: () => new Map(),
  details: () => [],
};
