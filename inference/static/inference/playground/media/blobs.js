/** Images and recordings in this page: what they are, and where elements find them. */

export const TYPES = {
  image: ["image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp"],
  audio: ["audio/wav", "audio/flac", "audio/ogg", "audio/mpeg"],
};
/** What the server reads; anything else that the browser can read is converted. */

const BEGINNINGS = [
  ["\x89PNG", "image/png"],
  ["\xff\xd8\xff", "image/jpeg"],
  ["GIF8", "image/gif"],
  ["BM", "image/bmp"],
  ["fLaC", "audio/flac"],
  ["OggS", "audio/ogg"],
  ["ID3", "audio/mpeg"],
];

/** @param {string} start the first bytes, one character each @returns {string} the media type; empty if it is unknown */
export function mediaType(start) {
  if (start.startsWith("RIFF")) return { WEBP: "image/webp", WAVE: "audio/wav" }[start.slice(8, 12)] ?? "";
  const found = BEGINNINGS.find(([beginning]) => start.startsWith(beginning));
  if (found) return found[1];
  return start.charCodeAt(0) === 0xff && (start.charCodeAt(1) & 0xe6) === 0xe2 ? "audio/mpeg" : "";
}

/** @param {Blob} blob @returns {Promise<string>} by its first bytes, not by its name */
export async function typeOf(blob) {
  return mediaType(String.fromCharCode(...new Uint8Array(await blob.slice(0, 16).arrayBuffer())));
}

/** @param {string} text base64, or a `data:` URI @param {string} [type] @returns {Blob} */
export function fromBase64(text, type) {
  const bytes = atob(text.startsWith("data:") ? text.slice(text.indexOf(",") + 1) : text);
  const data = Uint8Array.from(bytes, (character) => character.charCodeAt(0));
  return new Blob([data], { type: type ?? mediaType(bytes.slice(0, 16)) });
}

/** @param {any} value @returns {Blob | null} of a blob, or base64 of media as the server's examples have it */
export function asBlob(value) {
  if (value instanceof Blob) return value;
  if (typeof value !== "string" || !/^(data:|iVBORw0KGgo|\/9j\/|R0lGOD|Qk|UklGR|ZkxhQ|T2dnU|SUQz)/.test(value))
    return null;
  try {
    const blob = fromBase64(value);
    return blob.type ? blob : null;
  } catch {
    return null;
  }
}

const MOST_URLS = 100;
/** @type {Map<Blob, string>} the latest last */
const urls = new Map();

/** A `blob:` address. The last hundred are kept, since each holds its bytes. @param {Blob} blob */
export function objectUrl(blob) {
  const url = urls.get(blob) ?? URL.createObjectURL(blob);
  urls.delete(blob);
  urls.set(blob, url);
  if (urls.size > MOST_URLS) {
    const [[oldest, address]] = urls;
    URL.revokeObjectURL(address);
    urls.delete(oldest);
  }
  return url;
}

/** @param {number} bytes */
export const size = (bytes) =>
  bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
