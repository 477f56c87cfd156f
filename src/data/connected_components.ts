// Connected cells of a map.

/** A rectangle of pixels; both corners are inclusive. */
export interface Box {
  x1: number;
  y1: number;
  x2: number;
  y2: number;
}

/** Connected cells of a map: their indices, and the box around them in cells. */
export interface Component {
  cells: Int32Array;
  box: Box;
}

/** The 8-connected components of cells that are 1, in the order of their first cells. */
export function connectedComponents(inside: Uint8Array, columns: number): Component[] {
  const rows = inside.length / columns;
  const left = inside.slice();
  // Every cell is queued once. A component is what was queued since its first cell.
  const queue = new Int32Array(inside.length);
  const components: Component[] = [];
  let end = 0;
  for (let first = left.indexOf(1); first >= 0; first = left.indexOf(1, first + 1)) {
    const start = end;
    const box = { x1: columns, y1: rows, x2: 0, y2: 0 };
    queue[end++] = first;
    left[first] = 0;
    for (let next = start; next < end; next++) {
      const cell = queue[next];
      const x = cell % columns;
      const y = (cell - x) / columns;
      box.x1 = Math.min(box.x1, x);
      box.y1 = Math.min(box.y1, y);
      box.x2 = Math.max(box.x2, x);
      box.y2 = Math.max(box.y2, y);
      for (let ny = Math.max(0, y - 1); ny <= Math.min(rows - 1, y + 1); ny++) {
        for (let nx = Math.max(0, x - 1); nx <= Math.min(columns - 1, x + 1); nx++) {
          const neighbour = ny * columns + nx;
          if (left[neighbour] !== 1) continue;
          left[neighbour] = 0;
          queue[end++] = neighbour;
        }
      }
    }
    components.push({ cells: queue.subarray(start, end), box });
  }
  return components;
}
