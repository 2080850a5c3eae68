/** The command as a function, for embedding. */
export { main } from "./main.ts";
