import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.js";
import { fetchCheckpoint } from "../../src/detector/checkpoint_source.js";
import { InputError } from "../../src/errors.js";
import { readCheckpoint } from "../../src/node/files/checkpoint_file.js";
import { digest } from "../support/checkpoint.js";
import { fixturePath } from "../support/fixtures.js";

const indexName = "sharded.safetensors.index.json";
const names = [1, 2, 3].map((n) => `sharded-0000${n}-of-00003.safetensors`);

/** What a server answers by path: bytes, or where to look instead. */
const answers = new Map<string, Uint8Array | string>();
const asked: string[] = [];
const servers: Server[] = [];
let [here, there] = ["", ""];

async function serve(): Promise<string> {
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    const answer = answers.get((request.url ?? "").replace(/\?.*$/, ""));
    if (typeof answer === "string") response.writeHead(302, { location: answer });
    else if (!answer) response.writeHead(404);
    response.end(typeof answer === "string" ? undefined : answer);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

beforeAll(async () => {
  [here, there] = [await serve(), await serve()];
});
afterAll(() => {
  for (const server of servers) server.close();
});
beforeEach(() => {
  answers.clear();
  asked.length = 0;
  for (const name of [indexName, ...names]) {
    answers.set(`/a/${name}`, readFileSync(fixturePath(`checkpoint/${name}`)));
  }
});

const digestOf = ({ weights }: Checkpoint) => digest(new Map([...weights]));

async function refusal(source: string): Promise<string> {
  const error: unknown = await fetchCheckpoint(source, {}).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  const { message } = error as InputError;
  expect(message).not.toContain("\n");
  return message.replaceAll(here, "HERE").replaceAll(there, "THERE");
}

describe("a checkpoint in shards, by URL", () => {
  it("is fetched by its index: the shards lie beside it", async () => {
    const expected = digestOf(await readCheckpoint([fixturePath(`checkpoint/${indexName}`)]));
    expect(digestOf(await fetchCheckpoint(`${here}/a/${indexName}?token=1`, {}))).toBe(expected);
    expect(asked).toEqual([`/a/${indexName}?token=1`, ...names.map((name) => `/a/${name}`)]);
    expect(digestOf(await fetchCheckpoint(new URL(`${here}/a/${indexName}`), {}))).toBe(expected);
  });

  it("is followed through redirects: on one server, and to the store of a host of models", async () => {
    answers.set(`/latest/${indexName}`, `/a/${indexName}`);
    expect((await fetchCheckpoint(`${here}/latest/${indexName}`, {})).weights.size).toBeGreaterThan(0);
    // Each file, the index too, is asked for here and comes from there.
    for (const [i, name] of [indexName, ...names].entries()) {
      answers.set(`/store/${i}`, answers.get(`/a/${name}`) as Uint8Array);
      answers.set(`/host/${name}`, `${there}/store/${i}`);
    }
    asked.length = 0;
    expect((await fetchCheckpoint(`${here}/host/${indexName}`, {})).weights.size).toBeGreaterThan(0);
    expect(asked).toEqual([indexName, ...names].flatMap((name, i) => [`/host/${name}`, `/store/${i}`]));
  });

  it("is refused if the index names another place, or a shard is missing", async () => {
    for (const file of [`${there}/a/${names[0]}`, `../${names[0]}`, `//${names[0]}`]) {
      answers.set("/a/evil.index.json", Buffer.from(JSON.stringify({ weight_map: { x: file } })));
      asked.length = 0;
      expect(await refusal(`${here}/a/evil.index.json`)).toContain("in the same folder");
      expect(asked).toEqual(["/a/evil.index.json"]);
    }
    answers.delete(`/a/${names[2]}`);
    expect(await refusal(`${here}/a/${indexName}`)).toBe(`HERE/a/${names[2]} cannot be fetched: status 404`);
  });

  it("is refused by one of the shards: the index is named", async () => {
    expect(await refusal(`${here}/a/${names[0]}?x=1`)).toBe(
      `HERE/a/${names[0]}?x=1 is one of 3 shards: give their index, ${indexName}`,
    );
    expect(asked).toEqual([]);
  });
});

it("a path that is an address is refused, without its password", async () => {
  const error: unknown = await readCheckpoint(["https://me:secret@example.com/model.safetensors?key=1"]).catch(
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(InputError);
  expect((error as InputError).message).toBe(
    "https://example.com/model.safetensors?…: a checkpoint is read from a file: download it first",
  );
});
