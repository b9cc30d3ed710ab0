/** Images and recordings in inputs are `Blob`s; in JSON they are base64. */

export function hasMedia(value) {
  if (value instanceof Blob) return true;
  if (Array.isArray(value)) return value.some(hasMedia);
  return value !== null && typeof value === "object" && Object.values(value).some(hasMedia);
}

/** The value with base64 in the place of media. */
export async function withBase64(value) {
  return replaced(value, base64);
}

/** The value with something else in the place of media, where there are any. */
export async function replaced(value, change) {
  if (value instanceof Blob) return change(value);
  if (Array.isArray(value)) return Promise.all(value.map((each) => replaced(each, change)));
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value).map(async ([name, each]) => [name, await replaced(each, change)]);
  return Object.fromEntries(await Promise.all(entries));
}

/** @param {Blob} blob */
function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(String(reader.result).split(",", 2)[1] ?? ""));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(blob);
  });
}
