// Checkpoints that are split into shards with an index.

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { openCheckpoint, saveCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { parseSafetensors, serializeSafetensors } from "../../src/checkpoint/safetensors.js";
import { looksLikeShardIndex, parseShardIndex, shardName } from "../../src/checkpoint/shards.js";
import { readCheckpoint } from "../../src/node/files/checkpoint_file.js";
import { digestOf, microDigest } from "../support/checkpoint.js";
import { fixture, fixturePath } from "../support/fixtures.js";
import { scratchPerTest } from "../support/folders.js";
import { inputErrorOf, refusal } from "../support/refusal.js";

// Written by huggingface_hub; see test/fixtures/checkpoint/make_wrapped.py.
const indexName = "sharded.safetensors.index.json";
const names = [1, 2, 3].map((n) => `sharded-0000${n}-of-00003.safetensors`);

const at = scratchPerTest();
beforeEach(() => {
  for (const name of [indexName, ...names]) copyFileSync(fixturePath(`checkpoint/${name}`), at(name));
});

/** Why a file of the folder is refused, with names that are relative to it. */
async function refusalOf(name: string): Promise<string> {
  return (await refusal(readCheckpoint([at(name)]))).replaceAll(`${at()}/`, "");
}

const writeIndex = (map: unknown) => writeFileSync(at(indexName), JSON.stringify({ weight_map: map }));

describe("shards are read", () => {
  it("by their index", async () => {
    expect(digestOf(await readCheckpoint([at(indexName)]))).toBe(microDigest);
  });

  it("by any one of them, with the index or without", async () => {
    for (const name of names) expect(digestOf(await readCheckpoint([at(name)]))).toBe(microDigest);
    rmSync(at(indexName));
    for (const name of names) expect(digestOf(await readCheckpoint([at(name)]))).toBe(microDigest);
  });

  it("from bytes, with the sizes and settings in the first one's metadata", async () => {
    const settings = { epoch: 4, maskRatio: 0.25 };
    const saved = saveCheckpoint({ ...(await readCheckpoint([at(indexName)], 2)), settings });
    const { tensors, metadata } = parseSafetensors(saved, "x");
    const half = Math.floor(tensors.size / 2);
    const files = [[...tensors].slice(0, half), [...tensors].slice(half)].map((part, i) => ({
      name: `https://example.org/m/part${i}.safetensors`,
      bytes: serializeSafetensors(new Map(part), i === 0 ? metadata : {}),
    }));
    const map = Object.fromEntries([...tensors.keys()].map((name, i) => [name, `part${i < half ? 0 : 1}.safetensors`]));
    const bytes = new TextEncoder().encode(JSON.stringify({ metadata: { total_size: 1 }, weight_map: map }));
    const checkpoint = openCheckpoint([{ name: "index", bytes, shards: files }]);
    expect(digestOf(checkpoint)).toBe(microDigest);
    expect(checkpoint.config.heads).toBe(2);
    expect(checkpoint.settings).toEqual(settings);
    expect(inputErrorOf(() => openCheckpoint([{ name: "index", bytes, shards: files.slice(1) }]))).toBe(
      'index: an index of shards; its shard "part0.safetensors" is missing',
    );
    expect(inputErrorOf(() => openCheckpoint([{ name: "index", bytes }]))).toBe(
      'index: an index of shards; its shard "part0.safetensors" is missing',
    );
  });
});

describe("shards are refused", () => {
  it("if one is missing, which is named", async () => {
    rmSync(at(names[1]));
    expect(await refusalOf(indexName)).toBe(
      `${indexName}: shard 2 of 3, ${names[1]}: cannot be read (no such file or folder)`,
    );
    rmSync(at(indexName));
    expect(await refusalOf(names[2])).toBe(
      `${names[2]}: shard 2 of 3, ${names[1]}: cannot be read (no such file or folder)`,
    );
    expect(await refusalOf(names[1])).toBe(`${names[1]}: cannot be read (no such file or folder)`);
  });

  it("if one is a folder, a Git LFS pointer or cut off", async () => {
    const path = at(names[1]);
    writeFileSync(path, "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9896\n");
    expect(await refusalOf(indexName)).toMatch(/^sharded-00002-of-00003\.safetensors: a Git LFS pointer/);
    writeFileSync(path, fixture(`checkpoint/${names[1]}`).subarray(0, -4));
    expect(await refusalOf(indexName)).toMatch(/^sharded-00002-of-00003\.safetensors: .*; was it cut off\?$/);
    rmSync(path);
    mkdirSync(path);
    expect(await refusalOf(indexName)).toBe(`${indexName}: shard 2 of 3, ${names[1]}: cannot be read (it is a folder)`);
  });

  it("if they are of another checkpoint than the index", async () => {
    const { fileOf } = parseShardIndex(fixture(`checkpoint/${indexName}`), indexName);
    const map = Object.fromEntries(fileOf);
    writeIndex({ ...map, "module.extra": names[0] });
    expect(await refusalOf(indexName)).toBe(
      `${names[0]}: tensor "module.extra" is missing, which the index places here`,
    );
    writeIndex({ ...map, "module.cls_token": names[2] });
    expect(await refusalOf(indexName)).toBe(
      `${names[2]}: tensor "module.cls_token" is missing, which the index places here`,
    );
    delete map["module.cls_token"];
    writeIndex(map);
    expect(await refusalOf(indexName)).toBe(
      `${names[0]}: holds tensor "module.cls_token", but the index does not name it`,
    );
    rmSync(at(indexName));
    copyFileSync(at(names[0]), at(names[1]));
    expect(await refusalOf(names[0])).toMatch(
      /^sharded-00002-of-00003\.safetensors: tensor "[^"]+" is in another shard as well$/,
    );
  });

  it("if the index beside them is a Git LFS pointer", async () => {
    writeFileSync(at(indexName), "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 98\n");
    expect(await refusalOf(names[0])).toBe(
      `${indexName}: a Git LFS pointer, not the file itself (98 bytes); run "git lfs pull" in its repository`,
    );
  });

  it("if the index beside them does not name the one that is given", async () => {
    writeIndex({ w: names[0] });
    expect(await refusalOf(names[2])).toBe(`${names[2]}: the index beside it, ${indexName}, does not name it`);
  });

  it("if together they hold more than 2 GiB, before any is read", async () => {
    // Sparse files of 1 GiB each.
    for (const name of names) truncateSync(at(name), 2 ** 30);
    expect(await refusalOf(indexName)).toBe(
      `${indexName}: 3221225472 bytes in 3 shards; checkpoints of at most 2 GiB are read`,
    );
  });
});

describe("an index is refused", () => {
  const problem = (value: unknown) =>
    inputErrorOf(() =>
      parseShardIndex(new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value)), "i"),
    );
  const elsewhere = [
    ...[
      "../model.safetensors",
      "/etc/x.safetensors",
      "a/b.safetensors",
      "..",
      "C:\\x.safetensors",
      "\\\\h\\s.safetensors",
    ],
    ...[
      "x.safetensors:s",
      "a\0.safetensors",
      ".x.safetensors",
      "x.json",
      "",
      `${"x".repeat(300)}.safetensors`,
      "a\u202e.bin",
    ],
    ...["http://example.org/x.safetensors", "%2e%2e/x.safetensors", "a\n.safetensors"],
  ];
  for (const file of elsewhere) {
    it(`if it names a file elsewhere: ${JSON.stringify(file).slice(0, 40)}`, () => {
      const message = problem({ weight_map: { w: file } });
      expect(message).toMatch(/^i: not a valid index of shards: tensor "w" is in ".*"; expected the name of a /);
    });
  }

  const cases: [string, unknown, string][] = [
    ["is cut off", '{"weight_map": {"a": "x.safe', "it is not valid JSON; was it cut off?"],
    ["has no map", { metadata: {} }, 'it has no "weight_map"'],
    ["has a list as map", { weight_map: [] }, 'it has no "weight_map"'],
    ["names no tensors", { weight_map: {} }, "it names no tensors"],
    ["has a number as file", { weight_map: { a: 1 } }, 'the file of tensor "a" is not text'],
    [
      "names too many files",
      { weight_map: Object.fromEntries(Array.from({ length: 257 }, (_, i) => [i, `${i}.safetensors`])) },
      "it names 257 files; the limit is 256",
    ],
    ["is too large", `{${" ".repeat(2 ** 24)}`, "it has 16777217 bytes; the limit is 16777216"],
  ];
  for (const [what, value, message] of cases) {
    it(`if it ${what}`, () => expect(problem(value)).toBe(`i: not a valid index of shards: ${message}`));
  }

  it("only if it is one", () => {
    const bytes = (text: string) => new TextEncoder().encode(text);
    expect(looksLikeShardIndex(fixture(`checkpoint/${indexName}`))).toBe(true);
    expect(looksLikeShardIndex(bytes(`{"metadata": "${"x".repeat(9000)}", "weight_map" : {}}`))).toBe(true);
    expect(parseShardIndex(bytes('\ufeff\n{"weight_map": {"w": "x.safetensors"}}'), "i").files).toEqual([
      "x.safetensors",
    ]);
    expect(looksLikeShardIndex(bytes('{"error": "gone"}'))).toBe(false);
    expect(looksLikeShardIndex(fixture(`checkpoint/${names[0]}`))).toBe(false);
  });
});

describe("names of shards", () => {
  it("give the others and the index", () => {
    expect(shardName("model-00002-of-00003.safetensors")).toEqual({
      number: 2,
      count: 3,
      all: [1, 2, 3].map((n) => `model-0000${n}-of-00003.safetensors`),
      index: "model.safetensors.index.json",
    });
    expect(shardName("pytorch_model-00001-of-00002.bin")?.index).toBe("pytorch_model.bin.index.json");
  });

  it("are numbered from 1 to at most 256", () => {
    for (const name of [
      "m-00000-of-00003.pth",
      "m-00004-of-00003.pth",
      "m-00001-of-00257.pth",
      "m-1-of-2.pth",
      "m.pth",
    ]) {
      expect(shardName(name), name).toBeUndefined();
    }
  });
});

it("a pipe is not read", async () => {
  execFileSync("mkfifo", [at("x.pth")]);
  expect(await refusalOf("x.pth")).toBe("x.pth: cannot be read (it is not a regular file)");
});
