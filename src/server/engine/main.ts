// The engine's process: scores the frames of all cameras. It ends with the supervisor, and by
// itself if the GPU fails: the supervisor starts it again.
import { InputError, NoAdapterError } from "../../errors.js";
import { Detector } from "../../node/detector.js";
import { reasonOf } from "../../node/files/messages.js";
import { weightsHash } from "../../node/files/weights_hash.js";
import { Mailbox } from "./mailbox.js";
import type { EngineSetup, FromEngine, ToEngine } from "./messages.js";

/** Exit codes: 1 if the GPU fails, 2 if the setup is wrong. */
async function main(setup: EngineSetup, mailboxes: readonly Mailbox[]): Promise<void> {
  const onNotice = (line: string) => tell({ type: "notice", line });
  const detector = await Detector.open([...setup.checkpoint], { ...setup.detector, tokenMaps: true, onNotice });
  const { settings, gpu, checkpoint } = detector;
  const model = weightsHash(checkpoint.weights);
  tell({ type: "ready", adapter: gpu.adapter.description, settings, model });
  try {
    const how = setup.everyFrame ? { prompt: true } : { latest: true };
    for await (const { source, frame, score, tokens } of detector.streams(mailboxes, how)) {
      tell({ type: "score", camera: source, number: frame, score, tokens: tokens! });
    }
  } finally {
    detector.close();
  }
}

function tell(message: FromEngine): void {
  // The supervisor may be gone.
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

/** Reports an error, and ends the process once the report is out. */
function fail(error: unknown): void {
  const wrong = error instanceof InputError || error instanceof NoAdapterError;
  const exit = () => process.exit(wrong ? 2 : 1);
  if (!process.connected) exit();
  const message = reasonOf(error);
  process.send?.({ type: "failed", message, wrong } satisfies FromEngine, undefined, undefined, exit);
}

let mailboxes: Mailbox[] = [];
process.on("message", (message: ToEngine) => {
  if (message.type === "frame") mailboxes[message.camera]?.push(message);
  else if (message.type === "stop") for (const mailbox of mailboxes) mailbox.end();
  else {
    const { places, width, height } = message;
    mailboxes = Array.from({ length: places }, (_, camera) => {
      return new Mailbox(`camera ${camera}`, width, height, () => tell({ type: "taken", camera }));
    });
    main(message, mailboxes).then(() => process.exit(0), fail);
  }
});
process.on("uncaughtException", fail);
process.on("unhandledRejection", fail);
// Without a supervisor nobody needs scores.
process.on("disconnect", () => process.exit(0));
// Ctrl-C reaches the whole group; the supervisor decides when the engine ends.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});
