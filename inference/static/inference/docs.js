import { addCopyButtons } from "./copy.js";

addCopyButtons();

/** A link to an operation opens it. */
function open() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
}

addEventListener("hashchange", open);
open();
