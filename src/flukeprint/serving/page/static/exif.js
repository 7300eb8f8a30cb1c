// When and where a JPEG says that it was taken: EXIF 2.32 (JEITA CP-3451E), read from its beginning.
// Everything is bounded, and whatever does not fit counts as nothing.
const MOST_BYTES = 1 << 18;
const MOST_SEGMENTS = 100;
const MOST_ENTRIES = 200;
const APP1 = 0xffe1;
const EXIF_IFD = 0x8769;
const GPS_IFD = 0x8825;
const TAKEN = 0x9003;
const TAKEN_OFFSET = 0x9011;
const [LATITUDE, LONGITUDE] = [2, 4]; // the tag before each is its hemisphere
const ASCII = 2;
const RATIONAL = 5;

// {date, at}: as the API takes them, "" for what is not there.
export async function takenOf(file, now = new Date()) {
  try {
    const tiff = exifOf(new DataView(await file.slice(0, MOST_BYTES).arrayBuffer()));
    return tiff ? read(tiff, now) : { date: "", at: "" };
  } catch {
    return { date: "", at: "" }; // it ends too early, or points beyond its end
  }
}

// The TIFF inside the first EXIF segment.
function exifOf(view) {
  if (view.getUint16(0) !== 0xffd8) return null;
  let at = 2;
  for (let segment = 0; segment < MOST_SEGMENTS; segment += 1) {
    const [marker, length] = [view.getUint16(at), view.getUint16(at + 2)];
    if (marker < 0xffc0 || marker === 0xffda || length < 2) return null;
    if (marker === APP1 && length > 16 && view.getUint32(at + 4) === 0x45786966) { // "Exif"
      const start = view.byteOffset + at + 10;
      return new DataView(view.buffer, start, Math.min(length - 8, view.buffer.byteLength - start));
    }
    at += 2 + length;
  }
  return null;
}

function read(tiff, now) {
  const order = tiff.getUint16(0);
  if (order !== 0x4949 && order !== 0x4d4d) return { date: "", at: "" };
  const little = order === 0x4949;
  if (tiff.getUint16(2, little) !== 42) return { date: "", at: "" };
  const first = entries(tiff, tiff.getUint32(4, little), little);
  const below = (tag) => {
    try {
      return first.has(tag) ? entries(tiff, tiff.getUint32(first.get(tag).at, little), little) : new Map();
    } catch {
      return new Map(); // damage in one leaves the other
    }
  };
  return { date: dateOf(tiff, below(EXIF_IFD), little, now), at: placeOf(tiff, below(GPS_IFD), little) };
}

function entries(tiff, start, little) {
  const found = new Map();
  const count = Math.min(tiff.getUint16(start, little), MOST_ENTRIES);
  for (let number = 0; number < count; number += 1) {
    const at = start + 2 + 12 * number;
    if (at + 12 > tiff.byteLength) break;
    const one = { type: tiff.getUint16(at + 2, little), count: tiff.getUint32(at + 4, little), at: at + 8 };
    found.set(tiff.getUint16(at, little), one);
  }
  return found;
}

function text(tiff, one, little) {
  if (!one || one.type !== ASCII || one.count > 40) return "";
  const start = one.count > 4 ? tiff.getUint32(one.at, little) : one.at;
  let made = "";
  for (let at = start; at < start + one.count; at += 1) {
    const letter = at < tiff.byteLength ? tiff.getUint8(at) : 0;
    if (letter === 0) break;
    made += String.fromCharCode(letter);
  }
  return made;
}

function dateOf(tiff, found, little, now) {
  const parts = /^(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):\d\d$/.exec(text(tiff, found.get(TAKEN), little));
  if (!parts) return "";
  const [year, month, day, hour, minute] = parts.slice(1);
  const there = new Date(Date.UTC(year, month - 1, day, hour, minute));
  const same = there.toISOString().startsWith(`${year}-${month}-${day}T${hour}:${minute}`);
  if (!same || Number(year) < 1900 || there.getTime() > now.getTime() + 86400_000) return "";
  const offset = text(tiff, found.get(TAKEN_OFFSET), little);
  return `${year}-${month}-${day}T${hour}:${minute}${/^[+-]\d\d:\d\d$/.test(offset) ? offset : ""}`;
}

function placeOf(tiff, found, little) {
  const latitude = degrees(tiff, found, LATITUDE, { N: 1, S: -1 }, 90, little);
  const longitude = degrees(tiff, found, LONGITUDE, { E: 1, W: -1 }, 180, little);
  if (latitude === null || longitude === null || (latitude === 0 && longitude === 0)) return "";
  return `${latitude.toFixed(5)},${longitude.toFixed(5)}`;
}

function degrees(tiff, found, tag, signs, most, little) {
  const one = found.get(tag);
  const sign = signs[text(tiff, found.get(tag - 1), little)];
  if (!one || one.type !== RATIONAL || one.count !== 3 || !sign) return null;
  const start = tiff.getUint32(one.at, little);
  if (start + 24 > tiff.byteLength) return null;
  let sum = 0;
  for (let part = 0; part < 3; part += 1) {
    const [above, under] = [0, 4].map((more) => tiff.getUint32(start + 8 * part + more, little));
    if (under === 0 && above !== 0) return null;
    sum += under === 0 ? 0 : above / under / 60 ** part;
  }
  return Number.isFinite(sum) && sum <= most ? sign * sum : null;
}
