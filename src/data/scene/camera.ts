// The camera of the scene: from points in metres to pixels.
import { mat4, type ReadonlyVec3, type vec3, vec4 } from "gl-matrix";

/** A point of the world in the image. */
export interface Projected {
  /** Pixels from the left edge. The first column's centre is at 0.5. */
  x: number;
  /** Pixels from the top edge. */
  y: number;
  /** Metres along the optical axis. 0 or less at or behind the camera. */
  depth: number;
}

/** Options of {@link Camera}. */
export interface CameraOptions {
  /** In metres; y is up, the ground is at y = 0. */
  eye: ReadonlyVec3;
  /** The point in the frame's centre. */
  target: ReadonlyVec3;
  /** Vertical angle of view in radians. */
  fieldOfView: number;
  width: number;
  height: number;
}

/** A pinhole camera with square pixels that never moves. */
export class Camera {
  readonly width: number;
  readonly height: number;
  readonly eye: ReadonlyVec3;
  /** Focal length in pixels: 1 m at depth d, parallel to the image plane, is focal / d pixels. */
  readonly focal: number;
  private readonly toClip: mat4;
  private readonly toView: mat4;
  private readonly toWorld: mat4;

  constructor({ eye, target, fieldOfView, width, height }: CameraOptions) {
    [this.width, this.height, this.eye] = [width, height, eye];
    this.focal = height / 2 / Math.tan(fieldOfView / 2);
    this.toView = mat4.lookAt(mat4.create(), eye, target, [0, 1, 0]);
    this.toWorld = mat4.invert(mat4.create(), this.toView) as mat4;
    const projection = mat4.perspective(mat4.create(), fieldOfView, width / height, 0.1, 200);
    this.toClip = mat4.multiply(projection, projection, this.toView);
  }

  /** Where a point of the world, in metres, is in the image. */
  project(point: ReadonlyVec3): Projected {
    const [x, y, , w] = vec4.transformMat4(vec4.create(), [point[0], point[1], point[2], 1], this.toClip);
    return { x: ((x / w + 1) / 2) * this.width, y: ((1 - y / w) / 2) * this.height, depth: w };
  }

  /** A direction in the camera's coordinates: x right, y up, z towards the camera. */
  turn(direction: ReadonlyVec3): vec3 {
    const [x, y, z] = vec4.transformMat4(vec4.create(), [direction[0], direction[1], direction[2], 0], this.toView);
    return [x, y, z];
  }

  /** The direction to a point of the image. Not a unit vector: 1 m deep along the optical axis. */
  ray(x: number, y: number): vec3 {
    const seen = [(x - this.width / 2) / this.focal, (this.height / 2 - y) / this.focal, -1, 0] as const;
    const [dx, dy, dz] = vec4.transformMat4(vec4.create(), seen, this.toWorld);
    return [dx, dy, dz];
  }

  /** Whether a box on the ground around (x, z), in metres, is at least partly in the frame. */
  sees(x: number, z: number, radius: number, height: number): boolean {
    const at = this.project([x, 0, z]);
    if (at.depth < 1) return false;
    const top = this.project([x, height, z]);
    const half = (radius * this.focal) / at.depth;
    return at.x > -half && at.x < this.width + half && at.y > -half && top.y < this.height + half;
  }
}
