// Forgets an archive: nobody scores its videos from then on.
import { type Progress, videoKey } from "./archive.js";
import { type Cluster, QUEUE, subjectOf, UPLOADS, uploadSubject } from "./connection.js";
import { findUploads, removeFiles, removeVideo } from "./uploads.js";

/**
 * Removes an archive, its videos that wait, and what the server holds of it. Results in folders
 * stay. Workers stop scoring its videos when they next say how far they are.
 * @returns how many videos were not done yet
 */
export async function cancelArchive(cluster: Cluster, { archive, videos, counts }: Progress): Promise<number> {
  const { id, out } = archive;
  // First the archive: workers throw away videos of none.
  await cluster.archives.delete(id);
  const isUpload = out === undefined;
  await cluster.manager.streams.purge(isUpload ? UPLOADS : QUEUE, {
    filter: isUpload ? uploadSubject(id) : subjectOf(id),
  });
  for (const hash of videos.keys()) await cluster.videos.delete(videoKey(id, hash));
  const store = isUpload ? await findUploads(cluster) : undefined;
  if (store) {
    await removeFiles(store, `${id}.`);
    for (const hash of videos.keys()) await removeVideo(cluster, store, hash);
  }
  return counts.queued + counts.running;
}
