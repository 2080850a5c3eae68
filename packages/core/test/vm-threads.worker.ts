/** The thread of one CPU, for Node: what a host adds to `serveCpu`. */
import { parentPort } from "node:worker_threads";
import { serveCpu } from "../src/vm/index.ts";

const port = parentPort!;
serveCpu({
  post: (message) => port.postMessage(message),
  listen: (received) => port.on("message", received),
  close: () => port.close(),
});
