const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 10_000;
const SILENCE_MS = 6000;
const TICK_MS = 1000;

/**
 * A WebSocket that is opened again whenever it is lost, until this browser may not open it any more.
 *
 * States: "open", "away" (it tries again), "ended" (only a login helps).
 */
export class Connection {
  #url;
  #listeners;
  #socket = null;
  #retryMs = FIRST_RETRY_MS;
  #retryAt = 0;
  #heardAt = 0;
  #ended = false;

  /**
   * @param {string} path of the socket on this server
   * @param {{onFrame: (frame: object) => void, onState: (state: string, text: string) => void}} listeners
   */
  constructor(path, listeners) {
    this.#url = new URL(path, location.href);
    this.#url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.#listeners = listeners;
  }

  start() {
    this.#open();
    setInterval(() => this.#tick(), TICK_MS);
    for (const event of ["online", "focus"]) addEventListener(event, () => this.#hurry());
  }

  #open() {
    this.#heardAt = Date.now();
    const socket = (this.#socket = new WebSocket(this.#url));
    socket.addEventListener("message", (message) => {
      this.#heardAt = Date.now();
      this.#retryMs = FIRST_RETRY_MS;
      this.#listeners.onState("open", "Connected");
      this.#listeners.onFrame(JSON.parse(message.data));
    });
    socket.addEventListener("close", () => this.#lost(socket));
  }

  /** What a computer that slept, or a proxy, has lost without a word is closed here. */
  #tick() {
    const now = Date.now();
    if (this.#ended) return;
    if (this.#socket) {
      if (now - this.#heardAt > SILENCE_MS) {
        const silent = this.#socket;
        this.#lost(silent);
        silent.close();
      }
    } else if (now >= this.#retryAt) {
      this.#open();
    } else {
      this.#sayAway();
    }
  }

  #lost(socket) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.#retryAt = Date.now() + this.#retryMs * (0.75 + Math.random() / 2);
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
    this.#sayAway();
    this.#checkLogin();
  }

  #hurry() {
    if (!this.#socket) this.#retryAt = Math.min(this.#retryAt, Date.now() + TICK_MS);
  }

  #sayAway() {
    const seconds = Math.max(1, Math.ceil((this.#retryAt - Date.now()) / 1000));
    this.#listeners.onState("away", `Not connected. Trying again in ${seconds} s. Last figures`);
  }

  /** A socket that is refused does not say why; the page itself does. */
  async #checkLogin() {
    let answer;
    try {
      answer = await fetch(location.href, { method: "HEAD", redirect: "manual", cache: "no-store" });
    } catch {
      return; // the server is away
    }
    if (answer.type === "opaqueredirect" || answer.status === 403) {
      this.#ended = true;
      this.#listeners.onState("ended", "Not connected: you are logged out or may not see this page any more. Last figures");
    }
  }
}
