/** Network namespaces: create, enter, run processes and sockets in them. */
export * from "./netns.ts";
export * from "./sockets.ts";
