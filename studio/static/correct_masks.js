// Masks in the browser: COCO's run-length code decoded, tinted, painted and hit.

const COLOURS = [[255, 99, 71], [64, 160, 255], [120, 220, 90], [255, 200, 40], [200, 120, 255], [40, 220, 220], [255, 130, 190], [170, 150, 110]];
const KEPT = 800; // decoded masks

export const colour = (object) => COLOURS[object % COLOURS.length];
export const css = (object) => `rgb(${colour(object).join(" ")})`;

/** Decode the code of a box of this size: 1 on the object, row by row. The code runs down the columns, five bits to a
 *  character, and from the third run on as the difference to the run before the last. */
export function decode(counts, width, height) {
  const plane = new Uint8Array(width * height), runs = [];
  for (let at = 0; at < counts.length;) {
    let number = 0, shift = 0, code;
    do {
      code = counts.charCodeAt(at++) - 48;
      number |= (code & 31) << shift;
      shift += 5;
    } while (code & 32);
    if (code & 16) number |= -1 << shift;
    runs.push(number + (runs.length > 2 ? runs[runs.length - 2] : 0));
  }
  let place = 0;
  runs.forEach((run, n) => {
    if (n % 2) {
      for (let k = place; k < place + run; k++) plane[(k % height) * width + Math.floor(k / height)] = 1;
    }
    place += run;
  });
  return plane;
}

/** The masks of a window: objects as the studio says them. */
export class Masks {
  constructor(objects) {
    this.objects = objects.map((each) => ({ ...each, at: new Map(each.masks.map((mask) => [mask.frame, mask])) }));
    this.decoded = new Map();
  }

  /** Its pixels: {box, plane, width, height}; null where it is not seen. */
  plane(object, frame) {
    const mask = object.at.get(frame);
    if (!mask) return null;
    if (!this.decoded.has(mask)) {
      if (this.decoded.size >= KEPT) this.decoded.delete(this.decoded.keys().next().value);
      const [x0, y0, x1, y1] = mask.box, width = x1 - x0, height = y1 - y0;
      this.decoded.set(mask, { box: mask.box, width, height, plane: decode(mask.counts, width, height) });
    }
    return this.decoded.get(mask);
  }

  /** The smallest object under a place of the source; null for none. */
  hit(x, y, frame) {
    let best = null, size = Infinity;
    for (const object of this.objects) {
      const found = this.plane(object, frame);
      if (!found) continue;
      const [column, row] = [Math.floor(x) - found.box[0], Math.floor(y) - found.box[1]];
      if (column < 0 || row < 0 || column >= found.width || row >= found.height || !found.plane[row * found.width + column]) continue;
      if (found.width * found.height < size) [best, size] = [object, found.width * found.height];
    }
    return best;
  }
}

/** Paint a decoded mask; scale: canvas pixels per source pixel. */
export function paint(context, found, scale, rgb, strong) {
  const { plane, width, height, box } = found;
  const edge = Math.max(1, Math.round((strong ? 2.2 : 1.2) / scale));
  if (!found.tinted || found.strong !== strong || found.edge !== edge) {
    const picture = new ImageData(width, height);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        if (!plane[y * width + x]) continue;
        const rim = x < edge || y < edge || x >= width - edge || y >= height - edge ||
          !plane[y * width + x - edge] || !plane[y * width + x + edge] || !plane[(y - edge) * width + x] || !plane[(y + edge) * width + x];
        picture.data.set([...rgb, rim ? 255 : strong ? 120 : 80], 4 * (y * width + x));
      }
    }
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    canvas.getContext("2d").putImageData(picture, 0, 0);
    Object.assign(found, { tinted: canvas, strong, edge });
  }
  context.drawImage(found.tinted, box[0] * scale, box[1] * scale, width * scale, height * scale);
}
