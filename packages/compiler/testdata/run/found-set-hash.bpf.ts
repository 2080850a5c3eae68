//! What a helper changes in the context is read anew.
//! run 000102030405060708090a0b0c0d0e0f1011 -> 42
import { getHashRecalc, setHash, setHashInvalid, tc } from "ebplane/bpf";

export const main = tc.ingress((ctx) => {
  const before = ctx.hash;
  setHash(ctx, 77);
  const now = ctx.hash;
  setHashInvalid(ctx);
  if (ctx.hash !== 0) return 1;
  setHash(ctx, 5);
  if (getHashRecalc(ctx) !== 5) return 2;
  return before === 0 && now === 77 ? 42 : 3;
});
