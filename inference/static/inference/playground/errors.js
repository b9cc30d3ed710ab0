/** What a request ends with in the place of an answer. */

export class AskError extends Error {
  /**
   * @param {string} code one of the server's, or `away`, `lost`, `cancelled`
   * @param {string} message one sentence
   * @param {number} [retryAfter] seconds
   */
  constructor(code, message, retryAfter) {
    super(message);
    this.code = code;
    this.retry_after = retryAfter;
  }

  /** Whether the same request may be answered later. */
  get passes() {
    return ["loading", "overloaded", "draining", "not_loaded", "limit_reached", "away", "lost", "timeout"].includes(this.code);
  }
}

/** A form is not filled in. */
export class Incomplete extends Error {
  /**
   * @param {string} sentence
   * @param {HTMLElement} [control] where it is missing
   */
  constructor(sentence, control) {
    super(sentence);
    this.control = control;
  }
}
