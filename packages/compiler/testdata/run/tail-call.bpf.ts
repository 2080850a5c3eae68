//! A tail call to an empty slot goes on with the next statement.
//! run 0102030405060708090a0b0c0d0e0f10 -> 42
import { progArray, xdp } from "ebplane/bpf";

export const next = progArray({ maxEntries: 4 });

export const main = xdp((ctx) => {
  next.tailCall(ctx, 1);
  return 42;
});
