import type { Consumer, JsMsg } from "@nats-io/jetstream";
import { expect, test } from "vitest";
import { Queues } from "../../src/cluster/queues.js";

/** A queue whose answers come when the test says so. */
function queue(name: string) {
  const back: string[] = [];
  const asked: ((ids: readonly number[]) => void)[] = [];
  const message = (id: number) =>
    ({ subject: `${name} ${id}`, nak: () => back.push(`${name} ${id}`) }) as unknown as JsMsg;
  const consumer = {
    fetch: async () => {
      let close = () => {};
      const answered = new Promise<readonly number[]>((resolve) => {
        asked.push(resolve);
        close = () => resolve([]);
      });
      return Object.assign(
        (async function* () {
          for (const id of await answered) yield message(id);
        })(),
        { close: () => close() },
      );
    },
  } as unknown as Consumer;
  return { consumer, asked, back };
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

function two() {
  const [a, b, queues] = [queue("a"), queue("b"), new Queues(2)];
  queues.add(a.consumer);
  queues.add(b.consumer);
  return { a, b, queues };
}
const never = new AbortController().signal;

test("the first video of any queue is taken; one that comes meanwhile goes back at once", async () => {
  const { a, b, queues } = two();
  const first = queues.next(never);
  await turn();
  b.asked[0]([1]);
  expect((await first)?.subject).toBe("b 1");
  a.asked[0]([2]);
  await turn();
  expect([a.back, b.back]).toEqual([["a 2"], []]);
});

test("a queue that was asked already is not asked twice, and its answer counts for the next video", async () => {
  const { a, b, queues } = two();
  const first = queues.next(never);
  await turn();
  b.asked[0]([1]);
  await first;
  await turn();
  const second = queues.next(never);
  await turn();
  expect([a.asked.length, b.asked.length]).toEqual([1, 2]);
  a.asked[0]([2]);
  expect((await second)?.subject).toBe("a 2");
  expect([a.back, b.back]).toEqual([[], []]);
});

test("an old question that ends without a video does not end the wait for the next one", async () => {
  const { a, b, queues } = two();
  const first = queues.next(never);
  await turn();
  b.asked[0]([1]);
  await first;
  await turn();
  const second = queues.next(never);
  await turn();
  a.asked[0]([]);
  await turn();
  b.asked[1]([2]);
  expect((await second)?.subject).toBe("b 2");
  expect(b.back).toEqual([]);
});

test("without a video there is none, and the signal ends the wait", async () => {
  const { a, b, queues } = two();
  const none = queues.next(never);
  await turn();
  a.asked[0]([]);
  b.asked[0]([]);
  expect(await none).toBeUndefined();
  const stop = new AbortController();
  const stopped = queues.next(stop.signal);
  await turn();
  stop.abort();
  expect(await stopped).toBeUndefined();
});
