// The button that makes a camera learn again, which asks first.
import { h } from "../../../report/web/dom.js";
import { ask, cameraPath } from "./server.js";

const question =
  "Its thresholds and its usual view are forgotten, by day and in infrared. Ten minutes of video give new ones; until then there are no anomalies, unless the configuration has a threshold.";

/**
 * The button, and the question in its place.
 * @param onDone called once the camera learns again
 */
export function learnAgain(camera: string, onDone: () => void): HTMLElement {
  const place = h("div", { class: "learn-again" });
  const button = (text: string, onClick: (button: HTMLButtonElement) => void): HTMLButtonElement => {
    const made = h("button", { type: "button" }, text);
    made.addEventListener("click", () => onClick(made));
    return made;
  };
  const offer = () => place.replaceChildren(button("Learn again", confirm));
  const confirm = () => {
    const problem = h("p", { class: "problem", role: "alert" });
    const cancel = button("Cancel", offer);
    const forget = button("Forget and learn again", (pressed) => {
      pressed.disabled = true;
      ask(cameraPath(camera, "calibrate"), "POST").then(onDone, (error: Error) => {
        pressed.disabled = false;
        problem.textContent = error.message;
      });
    });
    place.replaceChildren(h("p", {}, question), h("div", { class: "actions" }, forget, cancel), problem);
    cancel.focus();
  };
  offer();
  return place;
}
