// What the whole page does: light and dark, pictures, printing, copying, sorting. Runs inside a function of page.html.

const root = document.documentElement;
root.classList.add("scripting");
const byId = (name) => document.getElementById(name);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const data = JSON.parse(byId("data").textContent);
const number = (value, digits = 0) =>
  value.toLocaleString("en-US", { minimumFractionDigits: 0, maximumFractionDigits: digits });

// ---- light and dark

const darkness = matchMedia("(prefers-color-scheme: dark)");
const theme = byId("theme");
let printing = false;
let chosenDark = null;
const isDark = () => !printing && (chosenDark ?? darkness.matches);

const probe = document.body.appendChild(document.createElement("span"));
probe.hidden = true;
const palette = new Map();
/** The colour that a variable of the style sheet has now. */
function colour(name) {
  if (!palette.has(name)) {
    probe.style.color = `var(--${name})`;
    palette.set(name, getComputedStyle(probe).color);
  }
  return palette.get(name);
}

function recolour() {
  root.classList.toggle("dark", chosenDark === true);
  root.classList.toggle("light", chosenDark === false);
  theme.setAttribute("aria-pressed", String(isDark()));
  palette.clear();
  for (const redraw of drawn.values()) redraw();
}
theme.addEventListener("click", () => {
  chosenDark = !isDark();
  recolour();
});
darkness.addEventListener("change", recolour);

// ---- pictures

const drawers = new Map(); // element -> what draws it, again and again
const drawn = new Map(); // those that were drawn
const DARK_HEAT = ["#1d4066", "#2f6ba8", "#5598cb", "#9cc5e2", "#e3f0fa"];
const NARROW = 420; // pixels, below which what is written in a picture is smaller
const settings = { displaylogo: false, displayModeBar: false };

/** The greys of a picture as they are here: ink, what is quieter, what is faint. */
function swapped(value, swaps) {
  if (typeof value === "string") return swaps[value] ?? value;
  if (Array.isArray(value)) return value.map((item) => swapped(item, swaps));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, swapped(item, swaps)]));
}

const axis = () => ({ gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("soft"), automargin: true });

/** How high the legend is, and with it the place: names run on in lines as wide as that. */
function legended(place, layout, traces, wanted) {
  const names = [...new Set(traces.filter((trace) => trace.showlegend !== false && trace.name && trace.x.length).map((trace) => trace.name))];
  const width = place.clientWidth;
  const longest = Math.max(0, ...names.map((name) => 48 + 6.6 * name.length));
  const lines = Math.ceil(names.length / Math.max(1, Math.floor((width - 70) / longest)));
  const area = Math.round(Math.min(wanted, Math.max(260, 0.85 * width)));
  const below = layout.scene ? 0 : 52;
  const side = layout.scene ? { l: 0, r: 0, t: 0 } : { l: 60, r: 12, t: 12 };
  const margin = { ...side, b: below + 20 * lines };
  place.style.height = `${margin.t + area + margin.b}px`;
  const legend = { orientation: "h", x: 0, xanchor: "left", y: -(below + 2) / area, yanchor: "top", font: { size: 11.5 } };
  const annotations = (layout.annotations ?? []).map((note) => (width < NARROW ? { ...note, font: { size: 8.5 } } : note));
  return { ...layout, margin, legend, annotations };
}

function framed(layout) {
  const paper = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" };
  const font = { family: getComputedStyle(root).fontFamily, size: 12, color: colour("ink") };
  const axes = Object.keys(layout).filter((name) => /^[xy]axis/.test(name));
  const changed = Object.fromEntries(axes.map((name) => [name, { ...layout[name], ...axis() }]));
  const hoverlabel = { bgcolor: colour("card"), bordercolor: colour("soft"), font, align: "left" };
  return { ...layout, ...changed, ...paper, font, hoverlabel, autosize: true };
}

function stored(place, figure) {
  const swaps = {
    "#000000": colour("ink"), "#6b6b6b": colour("soft"), "#c4c4c4": colour("line"), "#fff": colour("card"),
    "rgba(255,255,255,0.75)": colour("veil"), "#0072b2": colour("blue"), "rgba(107, 107, 107, 0.35)": colour("faint"),
  };
  const layout = framed(swapped(figure.layout, swaps));
  const traces = figure.data.map((trace) => {
    if (trace.type !== "heatmap") {
      const [marker, line] = [trace.marker, trace.line].map((look) => swapped(look ?? {}, swaps));
      return { ...trace, marker, line, error_y: swapped(trace.error_y, swaps) };
    }
    const logs = trace.z.map((row) => row.map((count) => (count ? Math.log10(count) : null)));
    const words = trace.z.map((row) => row.map((count) => (count ? number(count) : "")));
    const dark = DARK_HEAT.map((tint, place) => [place / (DARK_HEAT.length - 1), tint]);
    const bar = { ...trace.colorbar, x: 1.01, xanchor: "left", y: 0.5, len: 1, outlinewidth: 0 };
    return { ...trace, z: logs, text: words, colorbar: bar, colorscale: isDark() ? dark : trace.colorscale };
  });
  return [traces, legended(place, layout, traces, 340)];
}

function draw(place) {
  if (drawn.has(place)) return;
  drawn.set(place, drawers.get(place));
  drawers.get(place)();
}

const seen = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
  { rootMargin: "800px" },
);
/** Have a place drawn when it comes near the screen, or is printed. */
function lazily(place, redraw) {
  drawers.set(place, redraw);
  seen.observe(place);
}
for (const place of all("[data-figure]")) {
  lazily(place, () => Plotly.react(place, ...stored(place, data.figures[place.dataset.figure]), settings));
}

let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  for (const redraw of drawn.values()) redraw();
});

// ---- printing: everything is drawn, open and on white

const PRINTED = "330px"; // two beside each other on A4

addEventListener("beforeprint", () => {
  printing = true;
  all("details").forEach((part) => (part.open = true));
  root.classList.remove("dark");
  root.classList.add("light");
  palette.clear();
  for (const [place, redraw] of drawers) {
    place.style.width = PRINTED;
    drawn.set(place, redraw);
    redraw();
  }
});
addEventListener("afterprint", () => {
  printing = false;
  for (const place of drawers.keys()) place.style.width = "";
  recolour();
});

// ---- what is copied, and said

function say(words) {
  byId("said").textContent = words;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (byId("said").textContent = ""), 8000);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.body.appendChild(document.createElement("textarea"));
    const focused = document.activeElement;
    area.value = text;
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    focused?.focus();
    if (!done) return say(`Copy it by hand: ${text}`);
  }
  say(`Copied: ${text}`);
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("button.copy");
  if (button) copy(button.dataset.copy);
});

// ---- tables are sorted by their headers: up, down, as they were

const compared = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));

function keyOf(row, column) {
  const cell = row.cells[column];
  if (!cell.classList.contains("num")) return cell.textContent || null;
  return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
}

function sorted(rows, column, order) {
  if (order === "none") return rows;
  const sign = order === "ascending" ? 1 : -1;
  return [...rows].sort((one, other) => {
    const [a, b] = [keyOf(one, column), keyOf(other, column)];
    if (a === null || b === null) return (a === null) - (b === null); // what is not known stays last
    return sign * compared(a, b);
  });
}

for (const table of all("table")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  if (rows.length <= 3) continue;
  const heads = all("thead th:not([data-fixed])", table);
  heads.forEach((head) => {
    const column = head.cellIndex;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")] ?? "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next !== "none") head.setAttribute("aria-sort", next);
      body.append(...sorted(rows, column, next));
    });
  });
}

// ---- the section that is on the screen, in the navigation

const links = all("nav a");
const bar = document.querySelector("nav ul");
let current = null;

/** The link of the section that is read: the last one that begins in the upper third of the screen or above it. */
function reading() {
  if (scrollY <= 0) return links[0];
  if (scrollY + innerHeight >= root.scrollHeight - 1) return links.at(-1);
  return links.findLast((link) => byId(link.hash.slice(1)).getBoundingClientRect().top < innerHeight / 3) ?? links[0];
}

/** Mark that link, and keep it in sight. */
function mark() {
  const link = reading();
  if (link === current) return;
  current?.removeAttribute("aria-current");
  current = link;
  current.setAttribute("aria-current", "true");
  bar.scrollTo({ left: current.offsetLeft - (bar.clientWidth - current.offsetWidth) / 2 });
}
let marking = null;
const soon = () => {
  marking ??= requestAnimationFrame(() => {
    marking = null;
    mark();
  });
};
addEventListener("scroll", soon, { passive: true });
new ResizeObserver(soon).observe(document.body); // what is drawn moves what is below it
