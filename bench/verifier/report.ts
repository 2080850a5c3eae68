/** The table of the verifier's bench, and whether the targets of issue 5 hold. */

export interface Measured {
  readonly title: string;
  readonly insns: number;
  readonly verdict: string;
  readonly kernel: "accept" | "reject";
  /** Why we refuse. */
  readonly reason: string;
  /** Milliseconds, one a round. */
  readonly times?: { readonly ours: readonly number[]; readonly kernel: readonly number[] };
  readonly processed?: { readonly ours: number; readonly kernel: number };
}

const GEOMEAN = 2;
const WORST = 5;
const PROCESSED = 1.2;
/** A program of this many insns is to be verified in so many milliseconds. */
const SMALL = { insns: 300, ms: 5 };

const minimum = (ms: readonly number[]) => Math.min(...ms);
const median = (ms: readonly number[]) => [...ms].sort((a, b) => a - b)[ms.length >> 1]!;
const geomean = (x: readonly number[]) => Math.exp(x.reduce((sum, n) => sum + Math.log(n), 0) / x.length);

export function printReport(measured: readonly Measured[], least: number, most: number): void {
  const both = measured.filter((m) => m.times && m.processed);
  const rows = both.map((m) => {
    const { ours, kernel } = m.times!;
    return {
      m,
      ratio: minimum(ours) / minimum(kernel),
      medians: median(ours) / median(kernel),
      walked: m.processed!.ours / m.processed!.kernel,
    };
  });
  rows.sort((a, b) => a.ratio - b.ratio);
  console.log(
    "insns   walked by us, kernel, ratio      ms min (median) ours        kernel       ratio of minima (medians)",
  );
  for (const { m, ratio, medians, walked } of rows) {
    const { ours, kernel } = m.times!;
    const ms = (t: readonly number[]) => `${minimum(t).toFixed(2)} (${median(t).toFixed(2)})`;
    console.log(
      `${String(m.insns).padStart(5)} ${String(m.processed!.ours).padStart(8)} ${String(m.processed!.kernel).padStart(8)} ${walked.toFixed(2).padStart(5)}` +
        `  ${ms(ours).padStart(18)} ${ms(kernel).padStart(18)}  ${ratio.toFixed(2).padStart(6)} (${medians.toFixed(2)})  ${m.title}`,
    );
  }
  for (const m of measured) {
    if (m.times) continue;
    const why = m.verdict === "accept" ? "" : `: ${m.reason}`;
    console.log(
      `${String(m.insns).padStart(5)} not compared: we ${m.verdict}, the kernel ${m.kernel}s  ${m.title}${why}`,
    );
  }
  const counted = rows.filter(({ m }) => m.insns >= least && m.insns <= most);
  if (counted.length) {
    const ratios = counted.map((r) => r.ratio);
    const walked = counted.map((r) => r.walked);
    console.log(`\n${counted.length} programs of ${least} to ${most} insns that both accept`);
    target("time, geomean of ratios of minima", geomean(ratios), GEOMEAN);
    target("time, geomean of ratios of medians", geomean(counted.map((r) => r.medians)), GEOMEAN);
    target("time, worst ratio of minima", Math.max(...ratios), WORST);
    target("insns walked, geomean", geomean(walked), PROCESSED);
    target("insns walked, worst", Math.max(...walked), PROCESSED);
  }
  const small = rows.filter(({ m }) => m.insns <= SMALL.insns);
  if (small.length) {
    const slowest = small.reduce((a, b) => (median(a.m.times!.ours) > median(b.m.times!.ours) ? a : b));
    target(
      `ms for a program of at most ${SMALL.insns} insns, slowest median (${slowest.m.title})`,
      median(slowest.m.times!.ours),
      SMALL.ms,
    );
  }
}

function target(what: string, value: number, limit: number): void {
  console.log(`${what}: ${value.toFixed(2)}, wanted ≤ ${limit}: ${value <= limit ? "holds" : "does not hold"}`);
}
