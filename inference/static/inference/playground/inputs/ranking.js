/** A query, and texts that may answer it. */

import { creator } from "./compared.js";

export const create = creator(
  { one: "query", many: "texts" },
  { one: "Query", other: "Text", others: "Texts that may answer it" },
);
