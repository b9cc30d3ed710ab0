/** Numbers as people read them. */

/** @param {number} value a probability, as a percentage that never claims to be 0 or 1 */
export function percent(value) {
  if (value === 0 || value === 1) return `${100 * value} %`;
  if (value > 0.9999) return "> 99.99 %";
  if (value < 0.0001) return "< 0.01 %";
  return `${(100 * value).toFixed(value > 0.9995 || value < 0.0095 ? 2 : 1)} %`;
}

/** @param {number} value */
export function short(value) {
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : size >= 100 ? value.toFixed(1) : value.toFixed(3);
}

/** @param {number[]} values whether all can be probabilities */
export const areProbabilities = (values) => values.every((value) => value >= 0 && value <= 1.000001);

/** @param {number} s seconds, as 1:02.5 */
export function clock(s) {
  const tenths = Math.round(s * 10);
  return `${Math.floor(tenths / 600)}:${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
}

/** @param {number} count @param {string} one @param {string} many */
export const counted = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
