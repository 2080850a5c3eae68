/** Every kind of network function. A new one is a folder of its own and a row here. */
import { counter } from "./counter/counter.ts";
import { firewall } from "./firewall/firewall.ts";
import { forward } from "./forward/forward.ts";
import type { FunctionKind } from "./kind.ts";

export const FUNCTION_KINDS: readonly FunctionKind[] = [counter, firewall, forward];
