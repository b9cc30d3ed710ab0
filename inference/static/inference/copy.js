/** A button that copies, on every `.code` of a part of the page. */

/** @param {ParentNode} part */
export function addCopyButtons(part = document) {
  for (const code of part.querySelectorAll(".code:not(:has(.copy))")) code.append(button(code));
}

/** @param {Element} code */
function button(code) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "copy button quiet small";
  made.textContent = "Copy";
  made.addEventListener("click", async () => {
    made.textContent = (await copied(code.querySelector("pre"))) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (made.textContent = "Copy"), 2000);
  });
  return made;
}

/** Browsers have a clipboard on HTTPS and localhost only; elsewhere the text is selected. */
async function copied(pre) {
  try {
    await navigator.clipboard.writeText(pre.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(pre);
    return false;
  }
}
