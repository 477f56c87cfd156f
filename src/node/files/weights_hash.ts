import { createHash } from "node:crypto";
import type { Weights } from "../../model/network.js";

/** Names a model by its weights: SHA-256 in hexadecimal. */
export function weightsHash(weights: Weights): string {
  const hash = createHash("sha256");
  for (const [name, { shape, data }] of weights) {
    hash.update(`${name} ${shape.join()} `).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}
