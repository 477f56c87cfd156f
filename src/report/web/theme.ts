// Light and dark colours of a page.
import { h } from "./dom.js";

type Scheme = "light" | "dark";

const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();
const cache = new Map<string, string>();
let chosen: Scheme | undefined;

const current = (): Scheme => chosen ?? (system.matches ? "dark" : "light");

/**
 * The style sheet's colours are `light-dark(…)`; only an element's computed colour is one of the
 * two.
 */
const probe = h("span", { hidden: true });

/** The current value of a colour variable of the style sheet, for a canvas. */
export function color(name: string): string {
  let value = cache.get(name);
  if (value === undefined) {
    if (!probe.isConnected) document.body.append(probe);
    probe.style.color = `var(${name})`;
    value = getComputedStyle(probe).color;
    cache.set(name, value);
  }
  return value;
}

/** Calls `listener` when the colours have changed. @returns a function that ends that */
export function onTheme(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function apply(scheme: Scheme): void {
  document.documentElement.style.colorScheme = scheme;
  cache.clear();
  for (const listener of listeners) listener();
}

/**
 * The button that switches between light and dark. Until it is used, the system decides. Prints are
 * light.
 */
export function themeToggle(): HTMLButtonElement {
  const button = h("button", { type: "button", class: "theme" });
  const show = () => {
    apply(current());
    button.textContent = current() === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `Show in ${current() === "dark" ? "light" : "dark"} colours`);
  };
  button.addEventListener("click", () => {
    chosen = current() === "dark" ? "light" : "dark";
    show();
  });
  system.addEventListener("change", show);
  addEventListener("beforeprint", () => apply("light"));
  addEventListener("afterprint", show);
  show();
  return button;
}
