// Dialogs over the page.
import { h } from "../../../report/web/dom.js";

let count = 0;

/**
 * Opens a dialog with a heading and a button that closes it; the Escape key does so too.
 * @param onClose called when it is closed
 */
export function openDialog(
  title: string | HTMLElement,
  content: readonly HTMLElement[],
  onClose?: () => void,
): HTMLDialogElement {
  const id = `dialog-${++count}`;
  const close = h("button", { type: "button", class: "close", "aria-label": "Close" }, "\u2715");
  const dialog = h(
    "dialog",
    { "aria-labelledby": id },
    h("div", { class: "dialog-head" }, h("h2", { id }, title), close),
    ...content,
  );
  close.addEventListener("click", () => dialog.close());
  // A click beside it, which hits the dialog's own area.
  dialog.addEventListener("pointerdown", (event) => {
    const { left, right, top, bottom } = dialog.getBoundingClientRect();
    const { clientX: x, clientY: y } = event;
    if (event.target === dialog && (x < left || x > right || y < top || y > bottom)) dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    onClose?.();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
