// The sinks of a configuration: where alerts are sent.
import { isAbsolute, resolve } from "node:path";
import { z } from "zod";
import { InputError } from "../../errors.js";
import { changeKinds, eventKinds } from "../records.js";
import { listed } from "./address.js";
import { hideVariables, path, receiver, type Surroundings, secret, secretFile } from "./inputs.js";
import { choice, duration, id, list, map, orOff, read, text } from "./values.js";

/** A sink of any type. */
export function sink(around: Surroundings) {
  const types = "webhook, command, folder or mqtt";
  return z.discriminatedUnion("type", [webhook(around), command(around), folder(around), mqtt(around)], {
    error: ({ code }) => (code === "invalid_union" ? types : `a sink: a map with a type (${types})`),
  });
}

/** The keys of every sink. */
function common<Type extends string>(type: Type, { cameras }: Surroundings) {
  const known = `the id of a camera${cameras.length > 0 && cameras.length <= 20 ? ` (${listed(cameras)})` : ""}`;
  const isKnown = (value: string) => cameras.length === 0 || cameras.includes(value);
  const camera = read(z.string({ error: known }), known, (value) => (isKnown(value) ? value : undefined));
  return {
    type: z.literal(type),
    name: id().optional().describe("Default: the type, and a number if needed"),
    cameras: list(camera, "a list of cameras, such as [front]").optional().describe("Default: all"),
    kinds: list(choice(eventKinds), `a list of ${listed(eventKinds)}`)
      .optional()
      .describe("Default: all"),
    changes: list(choice(changeKinds), `a list of ${listed(changeKinds)}`)
      .optional()
      .describe("Default: all"),
  };
}

function webhook(around: Surroundings) {
  const headerName = z.string().regex(/^[\w!#$%&'*+.^`|~-]{1,100}$/);
  const headers = z.record(headerName, headerValue(around), {
    error: ({ code }) =>
      code === "invalid_key" ? "this cannot be the name of a header" : "a map of headers, such as { X-Name: text }",
  });
  const shape = map(
    {
      ...common("webhook", around),
      url: receiver(around, ["http", "https"]),
      secret: secret(around).optional().describe("Signs what is sent"),
      headers: headers.optional(),
    },
    "a webhook",
  );
  return shape.transform(({ url: { url, login }, headers = {}, ...rest }, context) => {
    const all = Object.entries(headers);
    if (login) {
      if (all.some(([name]) => /^authorization$/i.test(name))) {
        const message = "the URL holds a login, and headers holds Authorization; give one of them";
        context.addIssue({ code: "custom", message, path: ["url"] });
      }
      // fetch refuses addresses with a login, and its message repeats them.
      all.push(["Authorization", `Basic ${Buffer.from(`${login.user}:${login.password}`).toString("base64")}`]);
    }
    for (const secret of all.flatMap(([name, value]) => secretsOfHeader(name, value))) around.hide(secret);
    return { ...rest, url, headers: Object.fromEntries(all) };
  });
}

/** Text, or a file with a secret. */
function headerValue(around: Surroundings) {
  const what = `text in quotes, a variable such as \${TOKEN}, or { file: PATH }`;
  const visible = text(what).transform((value) => hideVariables(around, value));
  return z.union([visible, secretFile(around)], { error: what }).refine((value) => /^[\x20-\xff]*$/.test(value), {
    error: "a header holds ASCII and Latin-1 only",
  });
}

/** The value of a header with a key in it, and what stands behind "Bearer". */
function secretsOfHeader(name: string, value: string): string[] {
  if (!/auth|token|key|secret|pass|cookie/i.test(name)) return [];
  return [value, ...(/^(?:Bearer|Basic|Token) +(.+)$/i.exec(value)?.slice(1) ?? [])];
}

function command(around: Surroundings) {
  const what = "a list of a program and its arguments, such as [/usr/local/bin/siren, --loud]; no shell reads it";
  const argument = z
    .string({ error: "text" })
    .refine((value) => value.length <= 4096 && !value.includes("\0"), {
      error: "this argument is too long, or holds a NUL",
    })
    .transform((value) => hideVariables(around, value));
  const run = read(list(argument, what), what, ([program, ...rest]) => {
    if (program === "") throw new InputError("the program has no name");
    // A name without a slash is looked up in PATH.
    const isPath = program.includes("/") && !isAbsolute(program);
    const run: [string, ...string[]] = [isPath ? resolve(around.folder, program) : program, ...rest];
    return run;
  });
  const timeout = duration("0.1 s", "5 min").optional().describe("Default: 10 s");
  return map({ ...common("command", around), run, timeout }, "a command");
}

function folder(around: Surroundings) {
  return map({ ...common("folder", around), path: path(around) }, "a folder");
}

function mqtt(around: Surroundings) {
  const topic = "a topic, such as sdmae: at most 100 characters, no + and #, no $ or / at its start, no / at its end";
  const prefix = text(topic).regex(/^(?![$/])[^+#]{1,100}(?<!\/)$/, { error: topic });
  // It is no switch: "on" would become a topic.
  const discovery = prefix.regex(/^(?!(on|yes|true|auto)$)/i, { error: "off or a topic such as homeassistant" });
  const shape = map(
    {
      ...common("mqtt", around),
      url: receiver(around, ["mqtt", "mqtts"]),
      user: text().optional(),
      password: secret(around).optional(),
      prefix: prefix.optional().describe("Of all topics; default: sdmae"),
      discovery: orOff(discovery, "a topic such as homeassistant")
        .optional()
        .describe("Prefix of Home Assistant's discovery; default: off"),
    },
    "a broker",
  );
  return shape.transform(({ url: { url, login }, user, password, ...rest }, context) => {
    const apart = user !== undefined || password !== undefined;
    const complain = (message: string, key: string) => context.addIssue({ code: "custom", message, path: [key] });
    if (login && apart) complain("the URL holds a login already; give it in one place", "url");
    if (password !== undefined && user === undefined) complain("is missing: there is a password", "user");
    return { ...rest, url, user: user ?? login?.user, password: password ?? login?.password };
  });
}
