/** Pictures of a browser, as pixels: just the kind of PNG that it writes. */

import { inflateSync } from "node:zlib";

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** Bytes of a pixel. */
  readonly depth: number;
  readonly pixels: Uint8Array;
}

export function decodePng(file: Buffer): Picture {
  const [width, height, bits, kind, interlace] = [file.readUInt32BE(16), file.readUInt32BE(20), file[24], file[25], file[28]];
  if (bits !== 8 || (kind !== 2 && kind !== 6) || interlace !== 0)
    throw new Error(`a PNG of ${bits} bits and kind ${kind} is not read here`);
  const depth = kind === 6 ? 4 : 3;
  const pixels = new Uint8Array(width * height * depth);
  const lines = inflateSync(Buffer.concat(dataOf(file)));
  const stride = width * depth;
  for (let y = 0; y < height; y++) {
    const filter = lines[y * (stride + 1)]!;
    for (let i = 0; i < stride; i++) {
      const left = i >= depth ? pixels[y * stride + i - depth]! : 0;
      const up = y > 0 ? pixels[(y - 1) * stride + i]! : 0;
      const corner = i >= depth && y > 0 ? pixels[(y - 1) * stride + i - depth]! : 0;
      pixels[y * stride + i] = lines[y * (stride + 1) + 1 + i]! + guess(filter, left, up, corner);
    }
  }
  return { width, height, depth, pixels };
}

/** The parts of the compressed pixels. */
function dataOf(file: Buffer): Buffer[] {
  const parts = [];
  for (let at = 8; at < file.length; ) {
    const length = file.readUInt32BE(at);
    if (file.toString("latin1", at + 4, at + 8) === "IDAT") parts.push(file.subarray(at + 8, at + 8 + length));
    at += length + 12;
  }
  return parts;
}

function guess(filter: number, left: number, up: number, corner: number): number {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  if (filter !== 4) return 0;
  const sum = left + up - corner;
  const [toLeft, toUp, toCorner] = [Math.abs(sum - left), Math.abs(sum - up), Math.abs(sum - corner)];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

/** How much of the picture has the colour that most of it has: 1 where it is blank. */
export function shareOfCommonest(picture: Picture): number {
  const counts = new Map<number, number>();
  for (const color of colorsOf(picture)) counts.set(color, (counts.get(color) ?? 0) + 1);
  return Math.max(...counts.values()) / (picture.width * picture.height);
}

/** The share of pixels that are not the same in both. */
export function differing(a: Picture, b: Picture): number {
  const [first, second] = [colorsOf(a), colorsOf(b)];
  if (first.length !== second.length) return 1;
  return first.reduce((sum, color, i) => sum + (color === second[i] ? 0 : 1), 0) / first.length;
}

function colorsOf({ width, height, depth, pixels }: Picture): Uint32Array {
  return Uint32Array.from({ length: width * height }, (_, i) => {
    const at = i * depth;
    return (pixels[at]! << 16) | (pixels[at + 1]! << 8) | pixels[at + 2]!;
  });
}
