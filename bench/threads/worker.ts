/** The thread of one CPU of the bench beside. */
import { parentPort } from "node:worker_threads";
import { serveCpu } from "@ebplane/core/vm";

const port = parentPort!;
serveCpu({
  post: (message) => port.postMessage(message),
  listen: (received) => void port.on("message", received),
  close: () => port.close(),
});
