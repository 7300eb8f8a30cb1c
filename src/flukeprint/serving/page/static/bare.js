// A JPEG without what its camera wrote into it (ITU T.81, B.1; EXIF 2.32): no place, no date, no
// thumbnail, no second picture.  Its pixels stay as they are, and so does how it is turned.
const [START, END, SCAN, COMMENT] = [0xd8, 0xd9, 0xda, 0xfe];
const KEPT = [0xe0, 0xe2, 0xee]; // JFIF, colour profiles, Adobe's kind of colours
const MOST_SEGMENTS = 10_000;
const ORIENTATION = 0x0112;

// The file itself where it is no JPEG, or not one that is understood.
export async function bare(file) {
  if (file.size < 4) return file;
  try {
    const view = new DataView(await file.arrayBuffer());
    const parts = view.getUint16(0) === 0xff00 + START ? partsOf(view) : null;
    return parts ? new File(parts.map((part) => (part instanceof Uint8Array ? part : file.slice(...part))), file.name, { type: "image/jpeg" }) : file;
  } catch {
    return file; // it ends too early; the server says so
  }
}

// [start, end] of what stays, and a new EXIF segment for the orientation; null if there is no end.
function partsOf(view) {
  const parts = [[0, 2]];
  let at = 2;
  for (let segment = 0; segment < MOST_SEGMENTS; segment += 1) {
    const start = at;
    while (view.getUint8(at) === 0xff) at += 1;
    const marker = view.getUint8(at);
    at += 1;
    if (at - start < 2) return null;
    if (marker === END) return [...parts, [start, at]];
    const length = view.getUint16(at);
    const body = at + 2;
    at += length;
    if (marker === SCAN) at = afterScan(view, at);
    const turn = marker === 0xe1 ? turnOf(view, body) : 1;
    const told = marker === COMMENT || (marker >= 0xe0 && marker <= 0xef && !(KEPT.includes(marker) && !isIndex(view, marker, body)));
    if (turn > 1) parts.push(turned(turn));
    else if (!told) parts.push([start, at]);
  }
  return null;
}

// Where the pixels of a scan end: at the next marker that is no stuffed zero and no restart.
function afterScan(view, from) {
  for (let at = from; ; at += 1) {
    if (view.getUint8(at) !== 0xff) continue;
    const next = view.getUint8(at + 1);
    if (next !== 0 && next !== 0xff && (next < 0xd0 || next > 0xd7)) return at;
  }
}

// Whether it is the index of further pictures in the file (CIPA DC-007), which do not stay.
const isIndex = (view, marker, body) => marker === 0xe2 && view.getUint32(body) === 0x4d504600;

// The orientation of an EXIF segment, 1 where it says none.
function turnOf(view, body) {
  try {
    if (view.getUint32(body) !== 0x45786966) return 1; // "Exif"
    const tiff = body + 6;
    const little = view.getUint16(tiff) === 0x4949;
    const first = tiff + view.getUint32(tiff + 4, little);
    const count = Math.min(view.getUint16(first, little), 200);
    for (let number = 0; number < count; number += 1) {
      const entry = first + 2 + 12 * number;
      if (view.getUint16(entry, little) === ORIENTATION) {
        const turn = view.getUint16(entry + 8, little);
        return turn >= 1 && turn <= 8 ? turn : 1;
      }
    }
  } catch {
    // it points beyond the end
  }
  return 1;
}

// An EXIF segment that says nothing but how the photograph is turned.
function turned(turn) {
  return new Uint8Array([
    0xff, 0xe1, 0, 34, 0x45, 0x78, 0x69, 0x66, 0, 0, 0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1,
    ORIENTATION >> 8, ORIENTATION & 255, 0, 3, 0, 0, 0, 1, 0, turn, 0, 0, 0, 0, 0, 0,
  ]);
}
