import { expect, test } from "vitest";
import { SinkNews } from "../../src/server/sink_news.js";

test("each reason is said once until it changes, and that the sink works once after it failed", () => {
  const said: string[] = [];
  const news = new SinkNews((level, line) => said.push(`${level}: ${line}`));
  news.works();
  for (const reason of ["no answer", "no answer", "answered 503", "answered 503"]) news.fails(reason);
  news.works();
  news.works();
  news.fails("answered 503");
  expect(said).toEqual(["warn: no answer", "warn: answered 503", "info: works again", "warn: answered 503"]);
});
