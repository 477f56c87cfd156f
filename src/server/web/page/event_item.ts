// An event of the list.
import { h, named } from "../../../report/web/dom.js";
import type { CameraEvent } from "../../records.js";
import { openDialog } from "./dialog.js";
import { ask, filePath } from "./server.js";
import { kindNames, lasting, level, moment } from "./texts.js";

/** An event, as an element that is made again when the event changes. */
export function eventItem(event: CameraEvent, cameraName: string): HTMLElement {
  const { id, kind, silent, feedback, peak, threshold, zones, text, reason, start } = event;
  const parts = [
    peak && `level ${level(peak.level)}${threshold === undefined ? "" : ` of ${level(threshold)}`}`,
    zones.length > 0 ? zones.join(", ") : undefined,
    text,
    reason,
  ].filter((part) => part !== undefined && part !== "");
  const date = new Date(start);
  return h(
    "li",
    { class: "event", "data-id": id, "data-kind": kind, "data-silent": silent === true },
    snapshotButton(event, cameraName),
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
    kind === "anomaly" && feedback === undefined ? normalButton(id) : undefined,
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

/** The snapshot. A click plays the clip, or shows the snapshot until there is one. */
function snapshotButton(event: CameraEvent, cameraName: string): HTMLElement {
  const { snapshot, clip, kind, peak } = event;
  if (snapshot === undefined) return h("span", { class: "thumb" });
  // A later peak has another picture.
  const picture = `${filePath(snapshot)}?${encodeURIComponent(peak?.time ?? "")}`;
  const what = `${kindNames[kind]}, ${cameraName}, ${moment(new Date(event.start))}`;
  const button = h(
    "button",
    { type: "button", class: "thumb", "aria-label": `${clip === undefined ? "Show" : "Play"} ${what}` },
    h("img", { src: picture, alt: "", loading: "lazy", width: 160, height: 90 }),
    clip === undefined ? undefined : h("i", { class: "play" }),
  );
  button.addEventListener("click", () => showEvent(event, picture, what));
  return button;
}

function showEvent({ clip }: CameraEvent, picture: string, what: string): void {
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
    note.replaceChildren("This browser cannot play the clip, or it was deleted: clips go when they are old. ", save);
  });
  openDialog(what, [video, note], () => {
    // Ends the download.
    video.removeAttribute("src");
    video.load();
  });
}

function normalButton(id: string): HTMLElement {
  const button = h(
    "button",
    { type: "button", class: "is-normal", title: "A false alarm: keeps the clip to learn from" },
    "This is normal",
  );
  button.addEventListener("click", () => {
    button.disabled = true;
    // The stream tells what became of the event.
    ask(`/api/events/${encodeURIComponent(id)}/normal`, "POST").catch((error: Error) => {
      button.disabled = false;
      button.after(h("p", { class: "problem", role: "alert" }, error.message));
    });
  });
  return button;
}
