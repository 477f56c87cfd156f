// A report's data as the JSON that its page carries.
import { InputError } from "../../errors.js";
import type { ReportCurve, ReportData, ReportPicture } from "./data.js";

/**
 * A point of a curve is left out if |Δx| + |Δy| from the last one is less, which is below a pixel.
 */
const CURVE_STEP = 1e-3;

/**
 * The data as JSON for a `<script>` of a page. Fractions have six significant digits; a number that
 * is not finite is null. Long curves lose points that nobody could see.
 * @throws InputError if an image is not a `data:` URL: the page loads nothing from outside
 */
export function reportJson(data: ReportData): string {
  for (const { name, strip } of data.videos)
    for (const picture of strip) checkPicture(picture, `video ${JSON.stringify(name)}`);
  for (const moment of data.moments) checkPicture(moment, `moment in video ${JSON.stringify(moment.video)}`);
  const json = JSON.stringify({ ...data, curves: data.curves.map(thinned) }, (_, value: unknown) =>
    typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value,
  );
  // No name may end the script, open a comment, or hold a line break of JavaScript's older grammar.
  return json.replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function checkPicture({ index, image, map }: ReportPicture, where: string): void {
  for (const [what, url] of Object.entries({ image, map })) {
    if (!/^data:image\/[a-z]+;base64,[A-Za-z0-9+/=]+$/.test(url)) {
      const found = JSON.stringify(url.slice(0, 40));
      throw new InputError(
        `report: ${where}, frame index ${index}: the ${what} is ${found}, not a data: URL in base64`,
      );
    }
  }
}

function thinned(curve: ReportCurve): ReportCurve {
  const [x, y]: [number[], number[]] = [[], []];
  for (let i = 0; i < curve.x.length; i++) {
    const [atX, atY] = [curve.x[i], curve.y[i]];
    const distance = Math.abs(atX - (x.at(-1) ?? Infinity)) + Math.abs(atY - (y.at(-1) ?? Infinity));
    if (distance < CURVE_STEP && i < curve.x.length - 1) continue;
    x.push(atX);
    y.push(atY);
  }
  return { ...curve, x, y };
}
