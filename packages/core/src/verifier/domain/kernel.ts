/**
 * The kernel whose arithmetic the domain does: what is known of a sum, a product or behind a comparison differs between
 * versions. A walk is synchronous and says so before it begins (`verify`), so that the domain's many small functions need
 * no argument for it; results that are kept for later (`memo.ts`) are kept for each kernel apart.
 */

/** As `Profile.version`: 6.18 is 618. */
export let kernel = 618;

/** Runs `walk` with the arithmetic of a kernel. */
export function asKernel<T>(version: number, walk: () => T): T {
  const before = kernel;
  kernel = version;
  try {
    return walk();
  } finally {
    kernel = before;
  }
}
