/** Keeps a part of a page up to date: the server renders it, and it replaces the old one. */

const OFTEN_MS = 1000;
const SELDOM_MS = 5000;

/**
 * Often while something loads, seldom otherwise, and not while nobody looks.
 * @param {HTMLElement} part has an id
 */
export async function refresh(part) {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, part.querySelector(".loading") ? OFTEN_MS : SELDOM_MS));
    if (document.hidden || part.contains(document.activeElement)) continue;
    const { fresh, refused } = await fetched(part.id);
    if (refused) return; // whoever has logged out asks no more: each time would be a refusal in the log
    if (fresh && fresh.innerHTML !== part.innerHTML) part.replaceChildren(...fresh.childNodes);
    part.classList.toggle("stale", !fresh);
  }
}

/** @returns {Promise<{fresh?: HTMLElement | null, refused?: boolean}>} nothing fresh while the server is away */
async function fetched(id) {
  try {
    const reply = await fetch(location.pathname);
    if (!reply.ok) return { refused: reply.status === 401 };
    return { fresh: new DOMParser().parseFromString(await reply.text(), "text/html").getElementById(id) };
  } catch {
    return {};
  }
}
