/** Offsets of the server count Unicode code points; those of JavaScript's strings count UTF-16 units. */

const SURROGATE = /[\ud800-\udfff]/;

/**
 * @param {string} text
 * @returns {(offset: number) => number} from an offset in code points to one in the string; offsets beyond the end are
 *   the end. Fast for offsets that rise.
 */
export function unitOffsets(text) {
  if (!SURROGATE.test(text)) return (offset) => Math.min(offset, text.length);
  let point = 0;
  let unit = 0;
  return (offset) => {
    if (offset < point) point = unit = 0;
    while (point < offset && unit < text.length) {
      unit += /** @type {number} */ (text.codePointAt(unit)) > 0xffff ? 2 : 1;
      point += 1;
    }
    return unit;
  };
}

/** @param {string} text @returns {number} its characters, as the server counts them */
export function codePoints(text) {
  let count = text.length;
  for (const character of text.match(/[\ud800-\udbff][\udc00-\udfff]/g) ?? []) count -= character.length - 1;
  return count;
}
