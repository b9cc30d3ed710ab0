/** Colours of labels: eight of them, as classes of answers.css. A label is always written as well. */

export const HUES = 8;

/** @returns {(label: string) => string} the class of a label: the same for the same label, new ones in turn */
export function palette() {
  /** @type {Map<string, string>} */
  const given = new Map();
  return (label) => {
    if (!given.has(label)) given.set(label, hue(given.size));
    return /** @type {string} */ (given.get(label));
  };
}

/** @param {number} number */
export const hue = (number) => `hue-${number % HUES}`;
