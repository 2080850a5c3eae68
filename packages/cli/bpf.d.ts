/** What packet programs import as `ebplane/bpf`: the declarations of the compiler. */
export * from "@ebplane/compiler/bpf";
