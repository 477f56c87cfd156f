import { expect, test } from "vitest";
import { ScoredShare, slownessText } from "../../../src/server/camera/scored_share.js";

/** A camera of 10 frames per second, of which every n-th is scored. */
class Fed {
  readonly share = new ScoredShare();
  readonly news: number[] = [];
  private frames = 0;
  private scored = 0;

  /** @param n 0: no frame is scored */
  show(seconds: number, n: number): void {
    for (let i = 0; i < 10 * seconds; i++) {
      if (n > 0 && this.frames % n === 0) {
        this.scored++;
        this.share.scored();
      }
      this.frames++;
      const isNews = this.share.frame(this.frames / 10, { frames: this.frames, scored: this.scored });
      if (isNews) this.news.push(this.share.low!);
    }
  }
}

test("a share below a half is news once, until it has risen for a minute", () => {
  const fed = new Fed();
  fed.show(59, 25);
  expect(fed.share.low).toBeUndefined();
  fed.show(120, 25);
  expect(fed.news).toEqual([expect.closeTo(0.04, 2)]);
  expect(fed.share.low).toBeCloseTo(0.04, 2);
  fed.show(61, 1);
  expect(fed.share.low).toBeUndefined();
  fed.show(120, 4);
  expect(fed.news).toHaveLength(2);
});

test("half of the frames are enough; what comes before the first score of an engine does not count", () => {
  const fed = new Fed();
  fed.show(300, 0);
  fed.show(120, 2);
  expect(fed.share.low).toBeUndefined();
  fed.share.restart();
  fed.show(300, 0);
  fed.show(70, 2);
  expect(fed.news).toEqual([]);
});

test("the line says what to do", () => {
  expect(slownessText(0.041, 10)).toMatch(/^scores 4 % of its frames: lower fps \(it is 10\).*docs\/adapters\.md\)$/);
  expect(slownessText(0.002, 10)).toContain("scores less than 1 % of its frames");
});
