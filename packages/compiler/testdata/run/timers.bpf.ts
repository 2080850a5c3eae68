//! A timer in a map's value: begun, started, cancelled; its callback sees key and value.
//! run 0102030405060708090a0b0c0d0e0f10 -> 42
import { array, bpfTimer, license, struct, timerCancel, timerInit, timerSetCallback, timerStart, u64, xdp } from "ebplane/bpf";

license("GPL");
const Entry = struct({ timer: bpfTimer, fired: u64 });
export const timers = array(Entry, { maxEntries: 2 });

export const main = xdp(() => {
  const e = timers.lookup(1);
  if (!e) return 1;
  const begun = timerInit(e.timer, timers, 1);
  if (begun !== 0 && begun !== -16) return 2;
  if (
    timerSetCallback(e.timer, timers, (key, value) => {
      value.fired += 1n;
      if (key.value === 1) timerStart(value.timer, 1_000_000_000n);
    }) !== 0
  ) return 3;
  if (timerStart(e.timer, 1_000_000_000n) !== 0) return 4;
  if (timerCancel(e.timer) !== 1) return 5;
  return 42;
});
