//! Constants of the configuration are folded; what they rule out is not in the program.
//! constants {"PORT": 53, "LIMIT": 7, "STRICT": false, "NAME": 5}
//! run 0102030405060708090a0b0c0d0e0f10 -> 42
import { be16, config, percpuArray, u16, u32, u64, xdp } from "ebplane/bpf";

const PORT = config("PORT", be16(80));
const LIMIT = config("LIMIT", u32(3));
const STRICT = config("STRICT", true);
const NAME = config("NAME", u16(1));
const OTHER = config("OTHER", 9n);
export const strict = percpuArray(u64, { maxEntries: 1 });

function onlyWhenStrict(): u32 {
  const s = strict.lookup(0);
  return s ? 5 : 6;
}

export const main = xdp(() => {
  if (STRICT) return onlyWhenStrict();
  if (PORT !== be16(53)) return 1;
  if (LIMIT * 2 !== 14) return 2;
  if (NAME !== 5) return 3;
  return OTHER === 9n ? 42 : 4;
});
