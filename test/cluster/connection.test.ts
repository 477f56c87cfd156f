import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import * as jwt from "@nats-io/jwt";
import { beforeEach, describe, expect, test } from "vitest";
import { type NatsOptions, openCluster } from "../../src/cluster/connection.js";
import { atEnd, endAll, natsFor, until } from "../support/archive.js";
import { scratchPerTest } from "../support/folders.js";
import { hasNats } from "../support/nats.js";

const at = scratchPerTest();
endAll();

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

/** Makes a certificate for this machine, and who vouches for it. */
function makeCertificates(): void {
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: at(), stdio: "ignore" });
  const key = ["-newkey", "rsa:2048", "-nodes"];
  openssl("req", "-x509", ...key, "-days", "2", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=a test");
  openssl("req", ...key, "-keyout", "own.key", "-out", "own.csr", "-subj", "/CN=localhost");
  writeFileSync(at("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
  const by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
  openssl("x509", "-req", "-in", "own.csr", ...by, "-days", "2", "-extfile", "names", "-out", "own.pem");
}

/** Writes the configuration of a server with accounts. @returns makes a user's credentials */
async function makeAccounts() {
  const operator = jwt.createOperator();
  const [account, system] = [jwt.createAccount(), jwt.createAccount()];
  const limits = { subs: -1, data: -1, payload: -1, conn: -1, leaf: -1, imports: -1, exports: -1, wildcards: true };
  const storage = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
  const allowed = await jwt.encodeAccount("site", account, { limits: { ...limits, ...storage } }, { signer: operator });
  const lines = [
    `operator: ${await jwt.encodeOperator("us", operator)}`,
    `system_account: ${system.getPublicKey()}`,
    "resolver: MEMORY",
    "resolver_preload: {",
    `${account.getPublicKey()}: ${allowed}`,
    `${system.getPublicKey()}: ${await jwt.encodeAccount("system", system, {}, { signer: operator })}`,
    "}",
  ];
  writeFileSync(at("nats.conf"), lines.join("\n"));
  return async (issuer = account) => {
    const user = jwt.createUser();
    return jwt.fmtCreds(await jwt.encodeUser("worker", user, issuer, {}, {}), user);
  };
}

describe.skipIf(!hasNats())("a server with accounts", () => {
  test("takes a credentials file of one of its own, and no other", async () => {
    const credsOf = await makeAccounts();
    const { url } = await natsFor(at("nats"), "-c", at("nats.conf"));
    writeFileSync(at("own.creds"), await credsOf());
    writeFileSync(at("foreign.creds"), await credsOf(jwt.createAccount()));
    writeFileSync(at("empty.creds"), "");
    const open = (name?: string) => {
      const opened = openCluster({ url, ...(name !== undefined && { creds: at(name) }) });
      return opened.then(
        (cluster) => cluster.close().then(() => "open"),
        (error: Error) => error.message.replace(url, "URL"),
      );
    };
    expect(await open("own.creds")).toBe("open");
    for (const name of ["foreign.creds", undefined]) expect(await open(name)).toBe("URL: it refuses the login");
    expect(await open("none.creds")).toBe(`${at("none.creds")}: no such file or folder`);
    expect(await open("empty.creds")).toBe(`${at("empty.creds")} holds no credentials of NATS`);
  });
});

test.skipIf(!hasNats())("a worker does not wait for a server without TLS to learn it", async () => {
  const { url } = await natsFor(at("nats"));
  const secure = url.replace("nats:", "tls:");
  const worker = { lease: 3, signal: new AbortController().signal, onWait: () => {} };
  await expect(openCluster({ url: secure }, worker)).rejects.toThrow(`${secure}: the server runs without TLS`);
});

describe.skipIf(!hasNats())("a worker's login that is refused", () => {
  const worker = { lease: 2, signal: new AbortController().signal, onWait: () => {} };
  const allow = (token: string) => writeFileSync(at("nats.conf"), `authorization { token: ${token} }\n`);

  test("ends a worker that begins", async () => {
    allow("sesame");
    const { url } = await natsFor(at("nats"), "-c", at("nats.conf"));
    await expect(openCluster({ url, token: "wrong" }, worker)).rejects.toThrow(`${url}: it refuses the login`);
  });

  test("does not end one that was connected: it tries again until the server takes it", async () => {
    allow("sesame");
    const server = await natsFor(at("nats"), "-c", at("nats.conf"));
    const { nats, close } = await openCluster({ url: server.url, token: "sesame" }, worker);
    atEnd(close);
    let refused = 0;
    void (async () => {
      for await (const { type, ...status } of nats.status()) {
        if (type === "error" && /authorization/i.test(String(Object.values(status)))) refused++;
      }
    })();
    await server.end();
    allow("another");
    await server.start();
    await until(() => expect(nats.isClosed() || refused > 2).toBe(true));
    await server.end();
    allow("sesame");
    await server.start();
    await until(() => nats.flush());
    expect(nats.isClosed()).toBe(false);
  });
});

describe.skipIf(!hasNats() || !hasOpenssl)("a server with TLS and a token", () => {
  let port: number;
  beforeEach(async () => {
    makeCertificates();
    const tls = ["--tls", "--tlscert", at("own.pem"), "--tlskey", at("own.key")];
    ({ port } = await natsFor(at("nats"), ...tls, "--auth", "sesame"));
  });

  test("is used by those whom it knows, and who know it", async () => {
    const open = async (options: Partial<NatsOptions>) => {
      const url = `tls://localhost:${port}`;
      try {
        await (await openCluster({ url, ...options })).close();
        return "open";
      } catch (error) {
        return (error as Error).message.replace(url, "URL");
      }
    };
    const ca = at("ca.pem");
    expect(await open({ ca, token: "sesame" })).toBe("open");
    expect(await open({ ca, token: "wrong" })).toBe("URL: it refuses the login");
    expect(await open({ ca })).toBe("URL: it refuses the login");
    const unknown = "URL: nobody known vouches for its certificate (--nats-ca FILE names who does)";
    expect(await open({ token: "sesame" })).toBe(unknown);
    expect(await open({ ca: at("none.pem"), token: "sesame" })).toBe(`URL: ${at("none.pem")} doesn't exist`);
    // Also without the name of the protocol it is TLS: the server insists.
    expect(await open({ url: `localhost:${port}`, ca, token: "sesame" })).toBe("open");
  });
});
