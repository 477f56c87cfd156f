import { describe, expect, it } from "vitest";
import { readConfigText } from "../../../src/server/config/text.js";

/** The value of a text, and its problems with their places. */
function read(text: string, environment: Record<string, string> = {}) {
  const found = readConfigText(text, environment);
  const problems = found.problems.map((problem) => {
    const { line, column } = found.placeOf(problem);
    return `${line}:${column}: ${problem.path.join("/")}: ${problem.message}`;
  });
  return { value: found.value, problems };
}
const notYaml = (place: string, reason: string) => [`${place}: : this is not valid YAML: ${reason}`];

describe("readConfigText", () => {
  it("reads YAML 1.2", () => {
    expect(read("a: off\nb: yes\nc: 12:30\nd: 0x10\n1: [x, 2, true, null]")).toEqual({
      value: { 1: ["x", 2, true, null], a: "off", b: "yes", c: "12:30", d: 16 },
      problems: [],
    });
  });

  it("fills in variables in braces too, where YAML alone could not read them", () => {
    const text = `a: { b: \${X}, c: [\${X}, "\${X}"], d: '\${X}' }\ne: \${X} # \${Y}\nf: $\${X}\ng: |\n  \${X}`;
    expect(read(text, { X: "1, z: 2" })).toEqual({
      value: {
        a: { b: "1, z: 2", c: ["1, z: 2", "1, z: 2"], d: "1, z: 2" },
        ...{ e: "1, z: 2", f: `\${X}`, g: "1, z: 2\n" },
      },
      problems: [],
    });
  });

  it("says that a variable is not closed, although a brace of its map follows", () => {
    const text = `a: { b: "rtsp://u:\${X@h/1" }`;
    const message = `\${ } must hold the name of an environment variable; for a plain \${ write $\${`;
    expect(readConfigText(text, { X: "v" }).problems).toEqual([{ path: ["a", "b"], message }]);
  });

  it("knows what text held variables", () => {
    const found = readConfigText(`a: x\${X}y\${X}\nb: plain`, { X: "v" });
    expect([...found.variables]).toEqual([["xvyv", ["v", "v"]]]);
    expect(found.writtenAt(["a"])).toBe(`x\${X}y\${X}`);
  });

  it("follows aliases, and knows where their values stand", () => {
    const found = readConfigText("a: &x { b: 1 }\nc: *x", {});
    expect(found.value).toEqual({ a: { b: 1 }, c: { b: 1 } });
    expect(found.placeOf({ path: ["c", "b"], message: "" })).toEqual({ line: 1, column: 12 });
  });

  it("places what is missing at its parent, and keys where they stand", () => {
    const found = readConfigText("a:\n  b:\n    c: 1\n", {});
    expect(found.placeOf({ path: ["a", "b", "c"], message: "" })).toEqual({ line: 3, column: 8 });
    expect(found.placeOf({ path: ["a", "b", "c"], ofKey: true, message: "" })).toEqual({ line: 3, column: 5 });
    expect(found.placeOf({ path: ["a", "b", "d"], message: "" })).toEqual({ line: 2, column: 3 });
    expect(found.placeOf({ path: ["x", "y"], message: "" })).toEqual({ line: 1, column: 1 });
  });

  it.each([
    ["a:\n\tb: 1", "2:1", "a tab indents this line; use spaces"],
    ['a: "b\nc: 3\n', "1:4", "a quotation mark is not closed"],
    ["a:\n  b: { c: 1\n  d: 2", "3:3", "a { or [ is not closed, or the lines within it are not indented"],
    ["a: [1, 2", "1:9", "a { or [ is not closed, or the lines within it are not indented"],
    ["a:\n  b: 1\n c: 2", "3:1", "this line is not indented as those above it"],
    ["a: b: c", "1:4", 'a second colon is on this line; put text that holds ": " in quotes'],
    ["a:\n  b c\n  d: 1", "2:3", "a key needs a colon and a space behind it: key: value"],
    ["a: 1\n---\nb: 2", "2:1", "a second document begins here; a file holds one"],
    ["a: @b", "1:4", "text must not begin with this sign; put it in quotes"],
    ['a: "\\d"', "1:4", "the text in double quotes holds an unknown \\ sequence; write \\\\ or use single quotes"],
    ["a: !b c", "1:4", "tags, such as !name, are not known here"],
    ["? [a]\n: b", "1:3", "a key must be plain text"],
    ["a: { b: 1 } }", "1:13", "this sign is not expected here; put text with special characters in quotes"],
  ])("explains what is wrong with %j", (text, place, reason) => {
    expect(read(text)).toEqual({ value: undefined, problems: notYaml(place, reason) });
  });

  it("lets a brace close at the start of a line", () => {
    expect(read("a: {\n  b: 1\n}\n")).toEqual({ value: { a: { b: 1 } }, problems: [] });
  });

  it("refuses aliases without an anchor, and those within their own anchor", () => {
    expect(read("a: *x").problems).toEqual(["1:4: a: no anchor of this name is defined above"]);
    expect(read("a: &x { b: *x }").problems).toEqual(["1:12: a/b: no anchor of this name is defined above"]);
  });

  it("refuses keys that stand twice, and keys that are properties of every object", () => {
    const { value, problems } = read("a: 1\na: 2\n__proto__: { x: 1 }\nconstructor: 1\n");
    expect(problems).toEqual([
      "2:1: a: this key stands here a second time",
      "3:1: __proto__: this name is not allowed",
      "4:1: constructor: this name is not allowed",
    ]);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
  });

  it("refuses aliases that double with every line", () => {
    const bomb = Array.from({ length: 30 }, (_, i) => `a${i}: &a${i} [${i === 0 ? "1" : `*a${i - 1}, *a${i - 1}`}]`);
    expect(read(bomb.join("\n"))).toEqual({ value: undefined, problems: [expect.stringContaining("this file ")] });
  });

  it("refuses more values than a configuration has", () => {
    const keys = Array.from({ length: 20_001 }, (_, i) => `${i}:`).join("\n");
    expect(read(keys).problems).toEqual(["1:1: : this file holds more than 20000 values"]);
  });

  it.each([
    ["brackets", "[".repeat(100_000)],
    ["braces over many lines", "{a:\n ".repeat(10_000)],
    ["dashes", "- ".repeat(100_000)],
    ["indentation", Array.from({ length: 1000 }, (_, i) => `${" ".repeat(i)}a:`).join("\n")],
  ])("refuses deep nesting by %s", (_, text) => {
    expect(read(text)).toEqual({ value: undefined, problems: ["1:1: : this file is nested too deeply"] });
  });

  it("refuses nesting that no configuration has", () => {
    expect(read(`${"[".repeat(20)}${"]".repeat(20)}`).problems).toEqual([
      "1:1: : this file is nested more than 16 levels deep",
    ]);
  });

  it("refuses more than 1 MB", () => {
    expect(read("#".repeat(1_000_001)).problems).toEqual(["1:1: : this file is larger than 1 MB"]);
  });
});
