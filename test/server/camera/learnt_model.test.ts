import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type LearntFacts, LearntModels } from "../../../src/server/camera/learnt_model.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratchPerTest();
const facts = (model: string): LearntFacts => ({
  ...{ model, learnt: "2026-11-30T14:29:41.000Z", clips: 20, minutes: 20, rating: 0.9 },
  before: { model: "usual", rating: 0.8 },
});
const bytes = (text: string) => new TextEncoder().encode(text);
const read = (name: string) => readFileSync(at("model", name), "utf8");

test("a new model becomes the present one, and the one before stays", async () => {
  const models = new LearntModels(at());
  expect(await models.stamp()).toBeUndefined();
  expect(await models.facts()).toEqual([]);
  await models.take(bytes("one"), facts("one"));
  expect(readdirSync(at("model")).sort()).toEqual(["learnt.json", "model.safetensors"]);
  const stamp = await models.stamp();
  await models.take(bytes("two"), facts("two"));
  expect(await models.stamp()).not.toBe(stamp);
  expect([read("model.safetensors"), read("previous.safetensors")]).toEqual(["two", "one"]);
  expect((await models.facts()).map(({ model }) => model)).toEqual(["one", "two"]);
});

test("the previous model comes back, and goes again", async () => {
  const models = new LearntModels(at());
  expect(await refusal(models.exchange())).toMatch(/model holds no model that was learnt/);
  await models.take(bytes("one"), facts("one"));
  // Before it was the model of all cameras.
  expect(await models.exchange()).toBe("usual");
  expect(await models.stamp()).toBeUndefined();
  expect(await models.exchange()).toBe("learnt");
  await models.take(bytes("two"), facts("two"));
  expect(await models.exchange()).toBe("learnt");
  expect([read("model.safetensors"), read("previous.safetensors")]).toEqual(["one", "two"]);
  expect(await models.exchange()).toBe("learnt");
  expect(read("model.safetensors")).toBe("two");
  expect(readdirSync(at("model")).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

test("a model that was given up is not what a new one is exchanged with", async () => {
  const models = new LearntModels(at());
  await models.take(bytes("one"), facts("one"));
  await models.exchange();
  await models.take(bytes("two"), facts("two"));
  expect(existsSync(at("model", "previous.safetensors"))).toBe(false);
  expect(await models.exchange()).toBe("usual");
});

test("a damaged list is named", async () => {
  mkdirSync(at("model"));
  writeFileSync(at("model", "learnt.json"), "{}");
  expect(await refusal(new LearntModels(at()).facts())).toMatch(/learnt\.json is no list of models/);
});
