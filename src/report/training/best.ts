/** The best test of each stage: the last one that was better than all before it. */
export function bestOf<T extends { best: boolean; stage: number | null }>(tests: readonly T[]): T[] {
  return [...new Map(tests.filter(({ best }) => best).map((test) => [test.stage, test])).values()];
}
