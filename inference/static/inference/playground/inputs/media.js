/** Images or recordings: one, or a list of them. */

import { picker } from "../media/picker.js";

export function create({ description, changed }) {
  const { input, limits } = description;
  const media = picker({ kind: input.kind, most: limits.inputs, bytes: limits.media_bytes, changed });
  return {
    element: media.element,
    value() {
      const files = media.needed();
      return files.length > 1 ? files : files[0];
    },
    fill(value) {
      media.fill([value].flat());
    },
  };
}
