// Digests out of numbers: the same number gives the same one, different numbers different ones, and they lie as hashes do.

/** Mixes a whole number below 2^32 into another; no two into the same. */
function mix(value) {
  let mixed = value | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** Hex of so many bytes; the first byte is the number's lowest. */
export function hexMaker(bytes) {
  const buffer = Buffer.alloc(bytes);
  return (number) => {
    for (let at = 0; at < bytes; at += 4) buffer.writeUInt32LE(mix(number + Math.imul(at, 0x9e3779b1)), at);
    buffer[0] = number & 255;
    buffer.writeUInt32LE(number >>> 0, 4);
    return buffer.hexSlice();
  };
}
