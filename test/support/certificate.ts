// Certificates for servers of tests, made by openssl.
import { spawnSync } from "node:child_process";
import { join } from "node:path";

/** Whether openssl is there; else a line says that it is missing. */
export function hasOpenssl(): boolean {
  if (spawnSync("openssl", ["version"]).status === 0) return true;
  console.log("skipped: connections by TLS: openssl is missing");
  return false;
}

/** Files in PEM. */
export interface Certificate {
  certificate: string;
  key: string;
}

/**
 * A certificate that only itself vouches for, as cameras have them.
 * @param host whom it is for, such as DNS:localhost
 * @param days it is valid for; below 0 it has expired
 */
export function selfSigned(folder: string, name: string, host: string, days = 2): Certificate {
  const files = { certificate: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
  const made = spawnSync("openssl", [
    ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", `/CN=${name}`, "-addext", `subjectAltName=${host}`],
    ...["-days", String(days), "-keyout", files.key, "-out", files.certificate],
  ]);
  if (made.status !== 0) throw new Error(`openssl: ${made.stderr}`);
  return files;
}
