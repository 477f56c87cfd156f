import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { type NatsOptions, openCluster } from "../../src/cluster/connection.js";
import { endAll, natsFor } from "../support/archive.js";
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
