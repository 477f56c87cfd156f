import { Command } from "commander";
import { counted } from "../../counted.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../../node/files/messages.js";
import { addNatsOptions, type NatsCommandOptions, natsLogins, natsOf, shareOf, shareOption } from "../options/nats.js";
import { cameraLines } from "../terminal/camera_lines.js";
import { examples } from "../terminal/examples.js";

interface PutOptions extends NatsCommandOptions {
  share?: string;
  checkpoint?: string;
}

/** `cameras put|list|rm`: the cameras that workers share. */
export function camerasCommand(): Command {
  const command = new Command("cameras")
    .summary("tell workers which cameras to watch")
    .description(
      "Keeps the settings of cameras at a NATS server with JetStream. Workers (`sdmae worker`) share the cameras; each is watched by one of them.",
    );
  command.addCommand(putCommand());
  command.addCommand(listCommand());
  command.addCommand(removeCommand());
  return command;
}

function putCommand(): Command {
  const put = new Command("put")
    .summary("add the cameras of a configuration, or change them")
    .description(
      "Adds the cameras of a configuration of `watch`, or changes those that are there. Models go to the server, too; variables such as CAMERA_PASSWORD stay as they are, and each worker fills in its own. Settings that are not about cameras (data, web, sinks) are those of workers: `sdmae worker --config`.",
    )
    .argument("<config>", "a configuration of `watch` (YAML)");
  return addNatsOptions(put)
    .addOption(shareOption(false))
    .option("--checkpoint <file>", "the model of all cameras that name none (default: the bundled one)")
    .addHelpText("after", natsLogins)
    .addHelpText("after", examples("npx sdmae cameras put sdmae.yaml --nats nats://10.0.0.5:4222"))
    .action(putCameras);
}

async function putCameras(path: string, options: PutOptions): Promise<void> {
  const { readConfigFile } = await import("../../server/config/config.js");
  const { camerasOf } = await import("../../cluster/cameras/settings.js");
  const share = options.share === undefined ? undefined : await shareOf(options.share);
  const { cameras, checkpoint, warnings } = camerasOf(await readConfigFile(path), path, share);
  const { checkpointOf } = await import("../config_paths.js");
  const usual = checkpointOf({ ...(checkpoint !== undefined && { checkpoint }) }, options.checkpoint);
  const { readModel } = await import("../../server/models.js");
  const paths = new Set(cameras.map((camera) => camera.checkpoint ?? usual));
  for (const one of paths) await readModel([one], {});
  for (const line of warnings) process.stderr.write(`warning: ${line}\n`);
  const { withCluster } = await import("../../cluster/connection.js");
  const { openCameraStores } = await import("../../cluster/cameras/stores.js");
  const { putModel } = await import("../../cluster/models.js");
  await withCluster(natsOf(options), async (cluster) => {
    const stores = await openCameraStores(cluster);
    const models = new Map<string, Awaited<ReturnType<typeof putModel>>>();
    for (const one of paths) models.set(one, await putModel(cluster.models, one));
    for (const { id, checkpoint: own = usual, ...camera } of cameras) {
      const before = await stores.cameras.get(id);
      const text = JSON.stringify({ ...camera, model: models.get(own) });
      const isKnown = before?.operation === "PUT";
      const what = !isKnown ? "new" : before.string() === text ? "as before" : "changed";
      // Whatever is put again begins again.
      if (what !== "as before") await stores.cameras.put(id, text);
      console.log(`${id}: ${what}`);
    }
  });
}

function listCommand(): Command {
  const list = new Command("list")
    .summary("show cameras, and who watches them")
    .description("Shows all cameras with their workers, and workers with what they carry. Sources are not shown.")
    .option("--json", "print JSON");
  return addNatsOptions(list)
    .addHelpText("after", natsLogins)
    .action(async (options: NatsCommandOptions & { json?: boolean }) => {
      const { withCluster } = await import("../../cluster/connection.js");
      const { overviewOf } = await import("../../cluster/cameras/overview.js");
      const found = await withCluster(natsOf(options), overviewOf);
      if (options.json) console.log(JSON.stringify(found, null, 2));
      else for (const line of cameraLines(found)) console.log(line);
    });
}

function removeCommand(): Command {
  const remove = new Command("rm")
    .summary("stop watching cameras")
    .description("Removes cameras. Their events and clips stay where they are.")
    .argument("<ids...>", "as `list` shows them");
  return addNatsOptions(remove)
    .addHelpText("after", natsLogins)
    .action(async (ids: string[], options: NatsCommandOptions) => {
      const { withCluster } = await import("../../cluster/connection.js");
      const { openCameraStores } = await import("../../cluster/cameras/stores.js");
      await withCluster(natsOf(options), async (cluster) => {
        const { cameras, learnt } = await openCameraStores(cluster);
        const { cameraId } = await import("../../cluster/cameras/messages.js");
        for (const id of ids) {
          const entry = cameraId.safeParse(id).success ? await cameras.get(id) : null;
          if (entry?.operation !== "PUT") throw new InputError(`there is no camera ${oneLine(id)}`);
        }
        for (const id of ids) {
          await cameras.delete(id);
          await learnt.delete(id);
        }
      });
      console.log(`${counted(ids.length, "camera")} removed: ${ids.join(", ")}`);
    });
}
