/**
 * A vitest reporter: lists skipped tests with their reason, then one closing line `N passed, N failed, N skipped`.
 * A test that could not even be collected counts as failed.
 */
export default class Totals {
  onTestRunEnd(modules, errors) {
    let passed = 0;
    let failed = errors.length;
    const skipped = [];
    for (const module of modules) {
      if (module.state() === "failed" && module.errors().length) failed++;
      for (const test of module.children.allTests()) {
        const { state, note } = test.result();
        if (state === "passed") passed++;
        else if (state === "skipped")
          skipped.push(`${module.relativeModuleId}: ${test.fullName}${note ? `: ${note}` : ""}`);
        else failed++;
      }
    }
    for (const line of skipped) console.log(`skipped ${line}`);
    console.log(`${passed} passed, ${failed} failed${skipped.length ? `, ${skipped.length} skipped` : ""}`);
  }
}
