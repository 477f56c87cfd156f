// Areas of a camera's picture while somebody draws them.
import type { CameraState } from "../api.js";

/** What an area is for: a zone has a name, ignored ones do not count, privacy is blacked out. */
export type AreaKind = "zone" | "ignore" | "privacy";
/** A corner in shares of the picture's width and height, 0…1. */
export type Corner = readonly [x: number, y: number];

/** An area. Privacy has two corners: opposite ones of a rectangle. */
export interface Area {
  kind: AreaKind;
  /** Of a zone. */
  name: string;
  corners: Corner[];
}

/** What a step back leads to. */
interface Step {
  areas: Area[];
  corners: Corner[];
}

/** Areas that are finished, and the corners of one that is not. */
export class AreaSketch {
  areas: Area[];
  corners: Corner[] = [];
  private steps: Step[] = [];

  /** Begins with the areas of the configuration. */
  constructor({ zones, ignore, privacy }: Pick<CameraState, "zones" | "ignore" | "privacy">) {
    this.areas = [
      ...zones.map(({ name, polygon }): Area => ({ kind: "zone", name, corners: [...polygon] })),
      ...ignore.map((polygon): Area => ({ kind: "ignore", name: "", corners: [...polygon] })),
      ...privacy.map(({ x, y, width, height }): Area => {
        return { kind: "privacy", name: "", corners: [placed(x, y), placed(x + width, y + height)] };
      }),
    ];
  }

  /** Sets a corner. @returns whether the area needs no more */
  add(kind: AreaKind, corner: Corner): boolean {
    this.remember();
    this.corners.push(placed(...corner));
    return kind === "privacy" && this.corners.length === 2;
  }

  /** How many corners the area that is drawn needs still. */
  missing(kind: AreaKind): number {
    return Math.max(0, (kind === "privacy" ? 2 : 3) - this.corners.length);
  }

  /** Makes an area of the corners. @returns whether there were enough, and it covers something */
  finish(kind: AreaKind, name: string): boolean {
    const { corners } = this;
    if (this.missing(kind) > 0 || areaOf(kind, corners) < LEAST) return false;
    // A rectangle is finished by its second corner: that is one step.
    if (kind !== "privacy") this.remember();
    this.areas.push({ kind, name: kind === "zone" ? this.freeName(name) : "", corners });
    this.corners = [];
    return true;
  }

  /** Removes an area. */
  remove(area: Area): void {
    this.remember();
    this.areas.splice(this.areas.indexOf(area), 1);
  }

  /** Gives up the area that is drawn. */
  clear(): void {
    this.corners = [];
    // Its corners may be of another kind than what is drawn next.
    this.steps = this.steps.filter(({ corners }) => corners.length === 0);
  }

  /** Whether there is a step to take back. */
  get canUndo(): boolean {
    return this.steps.length > 0;
  }

  /** Takes the last step back: a corner, a finished, moved or removed area. */
  undo(): void {
    const step = this.steps.pop();
    if (step) Object.assign(this, step);
  }

  /** Keeps how it is now, for {@link undo}. To be called once before corners are moved. */
  remember(): void {
    const areas = this.areas.map((area) => ({ ...area, corners: [...area.corners] }));
    this.steps.push({ areas, corners: [...this.corners] });
  }

  /** The corner nearest to a place that is at most so far away, in the unit of `distance`. */
  near(place: Corner, most: number, distance: (a: Corner, b: Corner) => number): { area: Area; i: number } | undefined {
    const all = this.areas.flatMap((area) =>
      area.corners.map((corner, i) => ({ area, i, far: distance(place, corner) })),
    );
    all.sort((a, b) => a.far - b.far);
    return all[0]?.far <= most ? all[0] : undefined;
  }

  /** Moves a corner. */
  move({ area, i }: { area: Area; i: number }, to: Corner): void {
    area.corners[i] = placed(...to);
  }

  /** A name as the configuration takes it, that no other zone has. */
  private freeName(wanted: string): string {
    const taken = this.areas.map(({ name }) => name);
    const base = zoneName(wanted) || "zone";
    let name = base;
    for (let n = 2; taken.includes(name); n++) name = `${base.slice(0, 36)}-${n}`;
    return name;
  }
}

/** Least area, as a share of the picture. */
const LEAST = 1e-4;

/** A name as the configuration takes it: a-z, 0-9, "_" and "-"; empty if nothing remains. */
export function zoneName(text: string): string {
  const plain = text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  return plain
    .replace(/[^a-z0-9_]+/g, "-")
    .replace(/^[_-]+/, "")
    .slice(0, 40)
    .replace(/-+$/, "");
}

/** Within the picture, with three decimals: a configuration is for people. */
function placed(x: number, y: number): Corner {
  const [a, b] = [x, y].map((value) => Math.round(1000 * Math.max(0, Math.min(1, value))) / 1000);
  return [a, b];
}

/** The corners of a rectangle that has two opposite ones. */
export function rectangle([[x1, y1], [x2, y2]]: readonly Corner[]): Corner[] {
  return [
    [x1, y1],
    [x2, y1],
    [x2, y2],
    [x1, y2],
  ];
}

function areaOf(kind: AreaKind, corners: readonly Corner[]): number {
  const all = kind === "privacy" ? rectangle(corners) : corners;
  const doubled = all.map(([x1, y1], i) => {
    const [x2, y2] = all[(i + 1) % all.length];
    return x1 * y2 - x2 * y1;
  });
  return Math.abs(doubled.reduce((sum, part) => sum + part, 0)) / 2;
}
