// Draws areas on a camera's picture.
import { color } from "../../../report/web/theme.js";
import { type Area, type AreaKind, type Corner, rectangle } from "./area_sketch.js";

const colours: Readonly<Record<AreaKind, string>> = { zone: "--zone", ignore: "--ignored", privacy: "--private" };

/** Draws on a canvas over the picture. */
export class Pen {
  constructor(
    private readonly context: CanvasRenderingContext2D,
    private readonly width: number,
    private readonly height: number,
  ) {}

  /** An area that is finished. */
  area({ kind, name, corners }: Area): void {
    const all = kind === "privacy" ? rectangle(corners) : corners;
    this.path(all);
    this.context.closePath();
    this.context.globalAlpha = kind === "privacy" ? 0.85 : 0.25;
    this.context.fillStyle = color(colours[kind]);
    this.context.fill();
    this.context.globalAlpha = 1;
    this.line(kind);
    for (const corner of corners) this.handle(kind, corner);
    if (name !== "") this.text(name, corners);
  }

  /** An area that is drawn. @param next where the next corner would be */
  open(kind: AreaKind, corners: readonly Corner[], next?: Corner): void {
    if (corners.length === 0) return;
    const all = next ? [...corners, next] : corners;
    this.path(kind === "privacy" && all.length === 2 ? [...rectangle(all), all[0]] : all);
    this.line(kind);
    for (const corner of corners) this.handle(kind, corner);
  }

  /** Where the next corner is set with keys. */
  cross(place: Corner): void {
    const [x, y] = this.at(place);
    const { context } = this;
    context.beginPath();
    context.moveTo(x - 12, y);
    context.lineTo(x + 12, y);
    context.moveTo(x, y - 12);
    context.lineTo(x, y + 12);
    this.line("zone");
  }

  private at([x, y]: Corner): [number, number] {
    return [x * this.width, y * this.height];
  }

  private path(corners: readonly Corner[]): void {
    this.context.beginPath();
    for (const corner of corners) this.context.lineTo(...this.at(corner));
  }

  /** Seen on bright and dark pictures. */
  private line(kind: AreaKind): void {
    const { context } = this;
    context.lineJoin = "round";
    context.lineWidth = 5;
    context.strokeStyle = "#000a";
    context.stroke();
    context.lineWidth = 2.5;
    context.strokeStyle = color(colours[kind]);
    context.stroke();
  }

  private handle(kind: AreaKind, corner: Corner): void {
    const { context } = this;
    context.beginPath();
    context.arc(...this.at(corner), 5, 0, 2 * Math.PI);
    context.fillStyle = "#fff";
    context.fill();
    context.lineWidth = 2.5;
    context.strokeStyle = color(colours[kind]);
    context.stroke();
  }

  private text(text: string, corners: readonly Corner[]): void {
    const { context } = this;
    const middle = [0, 1].map((i) => corners.reduce((sum, corner) => sum + corner[i], 0) / corners.length);
    const [x, y] = this.at([middle[0], middle[1]]);
    context.font = "600 14px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineWidth = 4;
    context.strokeStyle = "#000b";
    context.strokeText(text, x, y);
    context.fillStyle = "#fff";
    context.fillText(text, x, y);
  }
}
