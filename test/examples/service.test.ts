import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configSchema, parseConfig } from "../../src/server/config/config.js";
import { parseSchedule } from "../../src/watch/schedule.js";
import { repository } from "../support/package.js";

const file = (name: string) => join(repository, "examples", "service", name);
const read = (name: string) => readFileSync(file(name), "utf8");

test("the example's configuration is good", () => {
  const secrets = { CAMERA_PASSWORD: "front-secret", MQTT_PASSWORD: "mqtt-secret" };
  const config = parseConfig(read("sdmae.yaml"), "sdmae.yaml", secrets, undefined, {
    checkSchedule: (text) => void parseSchedule(text),
  });
  expect(config.cameras.map(({ id, name }) => [id, name])).toEqual([["front", "Front door"]]);
  expect(config.sinks).toMatchObject([{ type: "mqtt", password: "mqtt-secret", discovery: "homeassistant" }]);
  // Each variable that it needs is handed on to the container.
  for (const name of Object.keys(secrets)) expect(read("Containerfile")).toContain(`-e ${name}`);
});

test("editors find the schema, which is that of this version", () => {
  const [, name] = /^# yaml-language-server: \$schema=(\S+)$/m.exec(read("sdmae.yaml")) ?? [];
  // If it is not: npx sdmae watch --schema > examples/service/sdmae.schema.json
  expect(JSON.parse(read(name))).toEqual(configSchema());
});

const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0;
test.skipIf(!hasSystemd).each(["service/sdmae.service", "cluster/sdmae-worker.service"])(
  "systemd has nothing to say against the unit %s",
  (unit) => {
    const path = join(repository, "examples", unit);
    expect(execFileSync("systemd-analyze", ["verify", path], { encoding: "utf8", stdio: "pipe" })).toBe("");
  },
);

test("what the container runs is there", () => {
  const text = read("Containerfile");
  const [, program] = /ENTRYPOINT \["node", "([^"]+)"\]/.exec(text) ?? [];
  expect(readFileSync(join(repository, program), "utf8")).toContain("runCli");
  // What is copied into the image is in the repository, or made by `npm ci`.
  const copied = [...text.matchAll(/^COPY --from=build (.+) \S+$/gm)].flatMap(([, paths]) => paths.split(" "));
  const names = copied.map((path) => path.replace("/opt/sdmae/", ""));
  expect(names).toEqual(expect.arrayContaining(["dist", "node_modules", "package.json", program]));
  const kept = names.filter((name) => !["dist", "node_modules"].includes(name));
  expect(kept.filter((name) => !existsSync(join(repository, name)))).toEqual([]);
  expect(text).toMatch(/CMD \["watch", "--config", "\/etc\/sdmae\/sdmae\.yaml"\]/);
});
