//! Redirect maps give the action of their flags where they have no entry.
//! run 0102030405060708090a0b0c0d0e0f10 -> 2
import { devmap, devmapHash, XDP_ABORTED, XDP_PASS, xdp } from "ebplane/bpf";

export const ports = devmap({ maxEntries: 4 });
export const byIndex = devmapHash({ maxEntries: 4 });

export const main = xdp(() => {
  if (byIndex.redirect(7) !== XDP_ABORTED) return 9;
  return ports.redirect(2, 2n) === XDP_PASS ? XDP_PASS : 8;
});
