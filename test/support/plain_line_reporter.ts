import type { Reporter, TestModule } from "vitest/node";

/**
 * Ends a run's output with one line per failed test, `failed: FILE > NAME: MESSAGE`, and one plain
 * line, `N passed, N failed`, for whatever reads it.
 */
export default class PlainLineReporter implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>): void {
    const count = { passed: 0, failed: 0, skipped: 0 };
    const failures: string[] = [];
    const fail = (name: string, errors: ReadonlyArray<{ message: string }>): void => {
      count.failed++;
      failures.push(`failed: ${name}: ${firstLine(errors)}`);
    };
    for (const module of modules) {
      let inModule = 0;
      for (const test of module.children.allTests()) {
        inModule++;
        const result = test.result();
        if (result.state === "failed") fail(`${module.relativeModuleId} > ${test.fullName}`, result.errors);
        else if (result.state !== "pending") count[result.state]++;
      }
      // A file that broke before its tests could be collected is a failure as well.
      if (inModule === 0 && !module.ok()) fail(module.relativeModuleId, module.errors());
    }
    const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : "";
    process.on("exit", () => {
      for (const failure of failures) console.log(failure);
      console.log(`${count.passed} passed, ${count.failed} failed${skipped}`);
    });
  }
}

const firstLine = (errors: ReadonlyArray<{ message: string }>): string =>
  errors[0]?.message.split("\n")[0] ?? "no message";
