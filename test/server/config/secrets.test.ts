import { mkdirSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { expandVariables, readSecretFile, scrubber } from "../../../src/server/config/secrets.js";
import { scratchPerTest } from "../../support/folders.js";
import { inputErrorOf } from "../../support/refusal.js";

const at = scratchPerTest();
/** `$` and what follows, so that no string here looks like a template. */
const variable = (name: string): string => `$\{${name}}`;

describe("expandVariables", () => {
  const environment = { NAME: "cam", PASSWORD: "p@ss/w#1 ü", NESTED: variable("NAME"), EMPTY: "" };

  it("fills in variables and says which values", () => {
    const text = `a ${variable("NAME")} b ${variable("NAME")}`;
    expect(expandVariables(text, environment)).toEqual({ text: "a cam b cam", values: ["cam", "cam"] });
  });

  it("does not expand values again", () => {
    expect(expandVariables(variable("NESTED"), environment).text).toBe(variable("NAME"));
  });

  it("takes $$ before a brace for a plain dollar", () => {
    expect(expandVariables(`$${variable("NAME")} $5 $NAME`, environment)).toEqual({
      text: `${variable("NAME")} $5 $NAME`,
      values: [],
    });
  });

  it("percent-encodes what stands in the login of an address, and nothing else", () => {
    const text = `rtsp://user:${variable("PASSWORD")}@${variable("NAME")}/${variable("PASSWORD")}`;
    expect(expandVariables(text, environment).text).toBe("rtsp://user:p%40ss%2Fw%231%20%C3%BC@cam/p@ss/w#1 ü");
  });

  it("refuses a variable that is not set, and names it", () => {
    expect(inputErrorOf(() => expandVariables(variable("OTHER"), environment))).toBe(
      "the environment variable OTHER is not set",
    );
    expect(inputErrorOf(() => expandVariables(variable("EMPTY"), environment))).toBe(
      "the environment variable EMPTY is empty",
    );
  });

  it("does not take a property of every object for a variable", () => {
    expect(inputErrorOf(() => expandVariables(variable("constructor"), {}))).toContain("is not set");
  });

  it.each(["", "A-B", "1A", "A:-default", " A"])("refuses the name %j", (name) => {
    expect(inputErrorOf(() => expandVariables(variable(name), environment))).toContain("must hold the name");
  });

  it("refuses a brace that is not closed", () => {
    expect(inputErrorOf(() => expandVariables("${NAME", environment))).toContain("must hold the name");
  });
});

describe("readSecretFile", () => {
  it("drops the last line break alone", () => {
    writeFileSync(at("a"), " secret \n");
    writeFileSync(at("b"), "secret\r\n");
    writeFileSync(at("c"), "secret\n\n");
    expect([at("a"), at("b"), at("c")].map(readSecretFile)).toEqual([" secret ", "secret", "secret\n"]);
  });

  it("gives the reason if it cannot read", () => {
    mkdirSync(at("folder"));
    writeFileSync(at("large"), "x".repeat(4097));
    expect(inputErrorOf(() => readSecretFile(at("none")))).toBe("no such file or folder");
    expect(inputErrorOf(() => readSecretFile(at("folder")))).toBe("it is a folder");
    expect(inputErrorOf(() => readSecretFile(at("large")))).toBe("it is larger than 4096 bytes");
    expect(inputErrorOf(() => readSecretFile("/dev/zero"))).toBe("it is not a file");
  });
});

describe("scrubber", () => {
  const scrub = scrubber(["p@ss/w#1", "a b&c", 'quo"te', "wörter", "abc", "per%20cent"]);

  it.each([
    ["as it is", "x p@ss/w#1 y", "x … y"],
    ["percent-encoded", "x=p%40ss%2Fw%231&y", "x=…&y"],
    ["encoded with small letters and in part", "p%40ss%2fw#1", "…"],
    ["with a blank in each encoding", "a b&c|a%20b%26c|a+b&c|a+b%26c", "…|…|…|…"],
    ["in JSON", JSON.stringify({ a: 'quo"te' }), '{"a":"…"}'],
    ["in UTF-8", `wörter ${encodeURIComponent("wörter")}`, "… …"],
    ["decoded", "per%20cent per cent per%2520cent", "… … …"],
    ["twice in a row", "p@ss/w#1p@ss/w#1", "……"],
  ])("finds secrets %s", (_, text, clean) => {
    expect(scrub(text)).toBe(clean);
  });

  it("takes logins out of addresses, and short secrets with them", () => {
    expect(scrub("rtsp://user:abc@cam/x is lost, http://b:c@d")).toBe("rtsp://…@cam/x is lost, http://…@d");
    expect(scrub("rtsp://user:a b&c@cam/x")).toBe("rtsp://…@cam/x");
  });

  it("leaves other text alone, and secrets of fewer than 4 bytes", () => {
    const text = "abc 100% ü 😀 %zz %4 plain";
    expect(scrub(text)).toBe(text);
    expect(scrubber(["%41%42"])("AB")).toBe("AB");
  });

  it("takes short secrets out only where they are words", () => {
    const scrub = scrubber(["2026", "cam1"]);
    expect(scrub("20261130T1415-cam12: cam1 said 2026")).toBe("20261130T1415-cam12: … said …");
  });

  it("leaves no part of secrets that overlap or hold each other", () => {
    expect(scrubber(["abcdefgh", "defghijk"])("xabcdefghijkx")).toBe("x…x");
    expect(scrubber(["cdefghij", "abcdefghijkl"])("xabcdefghijklx")).toBe("x…x");
  });

  it("works without secrets", () => {
    expect(scrubber([])("rtsp://a:b@c d")).toBe("rtsp://…@c d");
  });
});
