// Brings results of uploaded videos from the server, and says how many.
import type { ObjectStore } from "@nats-io/obj";
import type { Cluster } from "../cluster/connection.js";
import type { FetchOptions } from "../cluster/fetching.js";
import type { Archive } from "../cluster/messages.js";
import { counted } from "../counted.js";
import { InputError } from "../errors.js";
import { CheckFailed } from "./check_failed.js";
import { messageOf } from "./terminal/message.js";

/**
 * Brings the results of all videos that are done.
 * @throws CheckFailed if some could not be brought, after a line for each
 */
export async function fetchAll(
  cluster: Cluster,
  store: ObjectStore,
  archive: Archive,
  hashes: Iterable<string>,
  options: FetchOptions,
): Promise<void> {
  const { fetchResults } = await import("../cluster/fetching.js");
  let [fetched, failed] = [0, 0];
  for (const hash of hashes) {
    try {
      if (await fetchResults(cluster, store, archive, hash, options)) fetched++;
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      process.stderr.write(`${messageOf(error)}\n`);
      failed++;
    }
    options.signal.throwIfAborted();
  }
  console.log(`results of ${counted(fetched, "video")} in ${options.out}`);
  if (failed > 0) throw new CheckFailed(`the results of ${counted(failed, "video")} could not be fetched`);
}
