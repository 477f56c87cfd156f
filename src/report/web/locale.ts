// Import it before uPlot, which calls Intl with the browser's language when it is loaded. Under
// LANG=C.UTF-8 Chromium's language is "en-US@posix", which Intl refuses: the page would stay blank.
try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en" });
}
