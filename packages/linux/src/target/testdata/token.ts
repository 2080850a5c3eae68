/**
 * Run by token.test.ts in user, mount and network namespaces of its own: asks for a delegation, then loads with a token
 * what it may not load without. Prints a line for each step.
 */
import { BpfToken, linuxTarget } from "@ebplane/linux";
import { arrayMap, collectionOf, countingProgram } from "@ebplane/linux/testing";
import { scratch } from "../../mem/index.ts";
import { check, NR, syscall } from "../../sys/index.ts";

const spec = collectionOf([countingProgram("p", 6, 2)], [arrayMap("hits")]);

function tell(step: () => unknown): void {
  try {
    console.log(step());
  } catch (error) {
    console.log((error as Error).message);
  }
}

const context = check("fsopen", scratch((memory) => syscall(NR.fsopen, memory.cstring("bpf"), 0)));
console.log(`context ${context}`);
process.stdin.once("data", () => {
  const mount = check("fsmount", syscall(NR.fsmount, context, 0, 0));
  const root = `/proc/self/fd/${mount}/.`;
  tell(() => linuxTarget().load(spec).close());
  {
    using token = BpfToken.create(root);
    using loaded = linuxTarget().load(spec, { token });
    tell(() => [...loaded.programs.values()].length + [...loaded.maps.values()].length);
  }
  process.exit(0);
});
