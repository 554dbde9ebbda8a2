// Half an hour of a rate as bars. The numbers beside it say the same; to a screen reader it is one picture.

import { svg } from "./dom.js";

const WIDTH = 4;
const HEIGHT = 32;

export function bars(values, label) {
  const top = Math.max(1, ...values);
  const shapes = values.map((value, index) => {
    const height = value === 0 ? 1 : Math.max(2, Math.round((value / top) * HEIGHT));
    return svg("rect", {
      x: index * WIDTH, y: HEIGHT - height, width: WIDTH - 1, height, class: value === 0 ? "none" : "some",
    });
  });
  return svg(
    "svg",
    {
      class: "bars", viewBox: `0 0 ${values.length * WIDTH} ${HEIGHT}`, role: "img", "aria-label": label,
      preserveAspectRatio: "none",
    },
    shapes,
  );
}
