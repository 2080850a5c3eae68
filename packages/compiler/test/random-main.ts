/**
 * A long run of random programs: `npx tsx -C source packages/compiler/test/random-main.ts FIRST COUNT [SECONDS [KERNEL]]`. Each
 * seed's program is compiled once and runs on interpreter, JIT and kernel against its evaluation; every difference and
 * every refusal is printed with its seed. Ends with the totals; exit 1 where anything differed. With KERNEL (5.10) the
 * programs are built for that one and run on the running kernel alone, but for what the rules of KERNEL refuse: for
 * machines that run it.
 */
import { SimTarget } from "@ebplane/core/sim";
import type { KernelVersion } from "@ebplane/core/verifier";
import { linuxTarget } from "@ebplane/linux";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { built, check, REFUSED } from "./random-check.ts";

const [first = 1, count = 1000, seconds = 3600] = process.argv.slice(2, 5).map(Number);
const kernel = process.argv[5] as KernelVersion | undefined;
const targets = () => [
  ...(kernel ? [] : [new SimTarget({ engine: "interp" }), new SimTarget({ engine: "jit" })]),
  ...(kernelSkipReason() ? [] : [linuxTarget()]),
];
const started = performance.now();
let some = targets();
let done = 0;
let wrong = 0;
let refused = 0;
for (let seed = first; seed < first + count && performance.now() - started < seconds * 1000; seed++) {
  // A fresh machine now and then: its memory only grows.
  if (done % 500 === 499) some = targets();
  try {
    const spec = built(seed, kernel);
    const difference = spec ? check(seed, some, spec) : REFUSED;
    if (difference === REFUSED) refused++;
    else if (difference) {
      wrong++;
      console.log(difference);
    }
  } catch (e) {
    wrong++;
    console.log(`seed ${seed}: ${(e as Error).message.slice(0, 300)}`);
  }
  done++;
  if (done % 10_000 === 0) console.log(`${done} programs, ${refused} refused, ${wrong} wrong so far`);
}
const took = (performance.now() - started) / 1000;
const on = some.map((t) => t.name).join(", ");
console.log(
  `${kernel ? `built for ${kernel}: ` : ""}seeds ${first} to ${first + done - 1} on ${on}: ${done} programs, ${refused} refused, ${wrong} wrong, ${(done / took).toFixed(1)}/s`,
);
if (wrong) process.exitCode = 1;
