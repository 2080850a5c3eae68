/** Threads for the CPUs of a machine, on Node. */
import { Worker } from "node:worker_threads";
import type { CpuPort } from "../src/vm/index.ts";

/** Plain Node reads no TypeScript. */
const BOOT = `import("tsx/esm/api").then(({ register }) => {
  register();
  return import(${JSON.stringify(new URL("./vm-threads.worker.ts", import.meta.url).href)});
});`;

/** A thread that runs `serveCpu`. It serves one machine after another; `terminate` ends it. */
export function spawnThread(): Worker {
  return new Worker(BOOT, { eval: true });
}

/** A connection to a thread. Its end leaves the thread for the next one. */
export function portOf(worker: Worker): CpuPort {
  let close = (): void => {};
  return {
    post: (message) => worker.postMessage(message),
    listen(received, lost) {
      const exited = () => lost(undefined);
      worker.on("message", received).on("error", lost).on("exit", exited);
      close = () => void worker.off("message", received).off("error", lost).off("exit", exited);
    },
    close: () => close(),
  };
}
