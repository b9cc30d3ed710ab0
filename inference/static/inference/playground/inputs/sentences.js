/** A sentence, and others to compare with it. */

import { creator } from "./compared.js";

export const create = creator(
  { one: "source_sentence", many: "sentences" },
  { one: "Sentence", other: "Sentence", others: "Sentences to compare it with" },
);
