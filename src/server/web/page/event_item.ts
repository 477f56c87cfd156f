// An event of the list.
import { h, named } from "../../../report/web/dom.js";
import type { CameraEvent } from "../../records.js";
import type { ListedEvent } from "../api.js";
import { openDialog } from "./dialog.js";
import { ask, filePath } from "./server.js";
import { kindNames, lasting, level, moment } from "./texts.js";

/**
 * An event, as an element that is made again when the event changes.
 * @param kept how long clips are kept, for people
 */
export function eventItem(event: ListedEvent, cameraName: string, kept: string): HTMLElement {
  const { id, kind, silent, peak, threshold, zones, text, reason, start } = event;
  const parts = [
    peak && `level ${level(peak.level)}${threshold === undefined ? "" : ` of ${level(threshold)}`}`,
    zones.length > 0 ? zones.join(", ") : undefined,
    text,
    reason,
    event.deleted ? deletedText(kept) : undefined,
  ].filter((part) => part !== undefined && part !== "");
  const date = new Date(start);
  const what = `${kindNames[kind]}, ${cameraName}, ${moment(date)}`;
  return h(
    "li",
    { class: "event", "data-id": id, "data-kind": kind, "data-silent": silent === true },
    snapshotButton(event, what, kept),
    h(
      "div",
      { class: "event-words" },
      h("p", {}, h("b", {}, kindNames[kind]), " ", named(cameraName), ...badges(event)),
      h(
        "p",
        { class: "hint" },
        h("time", { datetime: start, title: date.toLocaleString() }, moment(date)),
        ` \u00b7 ${lasting(event)}`,
      ),
      parts.length > 0 ? h("p", { class: "hint" }, parts.join(" \u00b7 ")) : undefined,
    ),
    kind === "anomaly" ? feedbackButton(event, what) : undefined,
  );
}

function badges({ silent, feedback, end }: CameraEvent): (Node | string)[] {
  const badge = (name: string, text: string, title: string) => [
    " ",
    h("span", { class: `badge ${name}`, title }, text),
  ];
  return [
    ...(end === undefined ? badge("lasts", "now", "This event goes on") : []),
    ...(silent ? badge("silent", "silent", "Recorded only: nobody was alerted") : []),
    ...(feedback === "normal" ? badge("normal", "normal", "Somebody said that this is normal") : []),
  ];
}

const deletedText = (kept: string): string => `the clip was deleted: clips are kept for ${kept}`;

/** The snapshot. A click plays the clip, or shows the snapshot until there is one. */
function snapshotButton(event: ListedEvent, what: string, kept: string): HTMLElement {
  const { snapshot, clip, peak, deleted } = event;
  if (deleted) return h("span", { class: "thumb" }, "clip deleted");
  if (snapshot === undefined && clip === undefined) return h("span", { class: "thumb" }, "no picture");
  // A later peak has another picture.
  const picture = snapshot && `${filePath(snapshot)}?${encodeURIComponent(peak?.time ?? "")}`;
  const button = h(
    "button",
    { type: "button", class: "thumb", "aria-label": `${clip === undefined ? "Show" : "Play"} ${what}` },
    picture === undefined ? undefined : h("img", { src: picture, alt: "", loading: "lazy", width: 160, height: 90 }),
    clip === undefined ? undefined : h("i", { class: "play" }),
  );
  button.addEventListener("click", () => showEvent(clip, picture, what, kept));
  return button;
}

function showEvent(clip: string | undefined, picture: string | undefined, what: string, kept: string): void {
  if (clip === undefined) {
    const note = h("p", { class: "hint" }, "There is no clip yet. It comes some seconds after the end of an event.");
    openDialog(what, [h("img", { class: "large", src: picture, alt: what }), note]);
    return;
  }
  const video = h("video", { class: "large", controls: true, autoplay: true, playsinline: true, poster: picture });
  video.muted = true;
  video.src = filePath(clip);
  const save = h("a", { href: filePath(clip), download: true }, "Save the clip");
  const note = h("p", { class: "hint" }, save);
  video.addEventListener("error", () => {
    void isGone(filePath(clip)).then((gone) => {
      if (gone) video.remove();
      note.replaceChildren(
        ...(gone ? [`It is too late: ${deletedText(kept)}.`] : ["This browser cannot play the clip. ", save]),
      );
    });
  });
  openDialog(what, [video, note], () => {
    // Ends the download.
    video.removeAttribute("src");
    video.load();
  });
}

/** Whether the server has no such file. */
const isGone = (path: string): Promise<boolean> =>
  fetch(path, { method: "HEAD" }).then(
    ({ status }) => status === 404,
    () => false,
  );

/** Says that an event was a false alarm, or takes that back. */
function feedbackButton({ id, feedback, deleted }: ListedEvent, what: string): HTMLElement {
  const isNormal = feedback === "normal";
  const name = isNormal ? "Undo" : "This is normal";
  const title = isNormal
    ? "It was no false alarm: nothing is learnt from it"
    : `A false alarm${deleted ? "" : ": keeps the clip to learn from"}`;
  const label = isNormal ? `Undo: ${what}, is normal` : `${name}: ${what}`;
  const button = h(
    "button",
    { type: "button", class: `feedback ${isNormal ? "undo" : "is-normal"}`, title, "aria-label": label },
    name,
  );
  button.addEventListener("click", () => {
    if (button.hasAttribute("aria-disabled")) return;
    // A button that is disabled would lose the focus.
    button.setAttribute("aria-disabled", "true");
    // The stream tells what became of the event.
    ask(`/api/events/${encodeURIComponent(id)}/normal`, isNormal ? "DELETE" : "POST").catch((error: Error) => {
      button.removeAttribute("aria-disabled");
      button.after(h("p", { class: "problem", role: "alert" }, error.message));
    });
  });
  return button;
}
