import { addCopyButtons } from "./copy.js";
import { refresh } from "./refresh.js";

addCopyButtons();
refresh(document.querySelector("[data-refresh]"));
