/** Words with their places on a page, as programs write them. */

/**
 * @param {string} text JSON, or the table of tesseract
 * @returns {[string, number[]][]} with places in thousandths of the page
 * @throws {Error} a sentence
 */
export function readWords(text) {
  if (!text.trim()) return [];
  return text.trimStart().startsWith("[") ? fromJson(text) : fromTesseract(text);
}

function fromJson(text) {
  const form = 'Words are a list such as [["Total", [0, 0, 100, 50]]], with places from 0 to 1000.';
  let words;
  try {
    words = JSON.parse(text);
  } catch (error) {
    throw new Error(`The words are no JSON: ${/** @type {Error} */ (error).message}`, { cause: error });
  }
  if (!words.every(isWord)) throw new Error(form);
  return words;
}

function isWord(word) {
  return (
    Array.isArray(word) &&
    typeof word[0] === "string" &&
    Array.isArray(word[1]) &&
    word[1].length === 4 &&
    word[1].every(Number.isFinite)
  );
}

/** Source: https://github.com/tesseract-ocr/tessdoc/blob/main/Command-Line-Usage.md */
function fromTesseract(text) {
  const rows = text
    .trim()
    .split("\n")
    .map((line) => line.split("\t"));
  const page = rows.find((row) => row[0] === "1");
  if (!page || page.length < 11) throw new Error("The words are neither JSON nor the table that tesseract writes.");
  const [wide, high] = [Number(page[8]), Number(page[9])];
  const part = (value, whole) => Math.max(0, Math.min(1000, Math.round((1000 * value) / whole)));
  return rows
    .filter((row) => row[0] === "5" && row[11]?.trim())
    .map((row) => {
      const [left, top, width, height] = row.slice(6, 10).map(Number);
      return [row[11].trim(), [part(left, wide), part(top, high), part(left + width, wide), part(top + height, high)]];
    });
}
