/** The few drawings of the dashboard: constant paths, 16 × 16, in the text's colour. */

const PATHS = {
  seal: "M8 1.2l1.7 1.3 2.1-.2.7 2 1.9 1-.5 2.1.9 1.9-1.6 1.4-.2 2.1-2.1.4-1.3 1.7L8 14.1l-1.9.8-1.3-1.7-2.1-.4-.2-2.1L.9 9.3l.9-1.9-.5-2.1 1.9-1 .7-2 2.1.2zM5.2 8l2 2 3.8-4",
  chevron: "M6 3.5L10.5 8 6 12.5",
  check: "M3 8.5l3.2 3.2L13 4.8",
  cross: "M4 4l8 8M12 4l-8 8",
  alert: "M8 2l6.5 11.5h-13zM8 6.5v3.2M8 11.6v.2",
  refresh: "M13.2 8a5.2 5.2 0 1 1-1.6-3.8M13 1.8v2.7h-2.7",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  upload: "M8 10.5v-8M4.8 5.5L8 2.3l3.2 3.2M2.5 10.5v3h11v-3",
} as const;

const SVG = "http://www.w3.org/2000/svg";

export function icon(name: keyof typeof PATHS): SVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon icon-${name}`);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.appendChild(path);
  return svg;
}
