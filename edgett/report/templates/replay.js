// Needs page.js before it.

// ---- step 7 again: which solutions hold, and which of those are picked (edgett/search/choose.py)

const form = byId("replay");
const TOP = 200; // of a slider; one more is "no limit"
const limits = { ...data.limits };
const ROWS = data.constraints; // by name: what an option is limited in, with its title and its unit
const [DROP, LATENCY, FLOPS, BYTES] = [data.named.drop, data.named.latency, data.named.flops, data.named.bytes];
const ROLES = { recommended: "recommended", accuracy: "highest accuracy", memory: "lowest memory", flops: "lowest FLOPs" };

/** The limits that an option breaks; what is not known is not checked. */
const broken = (option) =>
  Object.values(ROWS).filter(({ name, higher_is_better: up }) => {
    if (limits[name] === null || option[name] === null) return false;
    return up ? option[name] < limits[name] : option[name] > limits[name];
  });
const known = (option) => option[DROP] !== null;
const holds = (option) => known(option) && !option.slow && !broken(option).length;
/** Why an option does not hold, in words. */
const reasons = (option) => [...(option.slow ? ["slower than dense"] : []), ...broken(option).map((row) => row.title)];

function least(options, key) {
  const before = (a, b) => {
    const place = a.findIndex((value, index) => value !== b[index]);
    return place >= 0 && a[place] < b[place];
  };
  return options.reduce((best, option) => (best && !before(key(option), key(best)) ? best : option), null);
}

function choose(objective) {
  const able = data.options.filter((option) => option.eligible && holds(option));
  const every = holds(data.dense) ? [...able, data.dense] : able;
  const drop = (option) => option[DROP];
  // The dense model before what is no better.
  const best = (options, worth, other = drop) =>
    least(options, (option) => [worth(option), Number(option !== data.dense), other(option), option.solution]);
  const most = (options) => best(options, drop, (option) => option[BYTES]);
  const picks = {
    accuracy: most(able.length ? able : every),
    memory: best(every, (option) => option[BYTES]),
    flops: best(every, (option) => option[FLOPS]),
  };
  if (objective === "accuracy") return { ...picks, recommended: most(every) };
  const work = (option) => option[LATENCY] ?? option.instructions ?? option[FLOPS];
  const worth = (option) => (objective === "latency" ? work(option) : option[objective === "flops" ? FLOPS : BYTES]);
  const first = best(every, worth);
  if (first === null || first === data.dense) return { ...picks, recommended: first };
  // Of those nearly as good, and better than the dense model, the best in bytes times work.
  const above = holds(data.dense) ? worth(data.dense) : Infinity;
  const near = able.filter((option) => worth(option) <= (1 + data.near) * worth(first) && worth(option) < above);
  const both = (option) => option[BYTES] * work(option);
  return { ...picks, recommended: least(near, (option) => [both(option), worth(option), drop(option), option.solution]) };
}

function limitAt(name, position) {
  const slider = data.sliders[name];
  if (position > TOP) return null;
  const share = (position / TOP) ** slider.power;
  const value = slider.log ? slider.low * (slider.high / slider.low) ** share : slider.low + (slider.high - slider.low) * share;
  const rounded = Number(value.toPrecision(3));
  return ROWS[name].whole ? Math.round(rounded) : rounded;
}

function positionOf(slider, limit) {
  if (limit === null) return TOP + 1;
  const share = slider.log
    ? Math.log(Math.max(limit, slider.low) / slider.low) / Math.log(slider.high / slider.low)
    : (limit - slider.low) / (slider.high - slider.low);
  return Math.round(TOP * Math.min(1, Math.max(0, share)) ** (1 / slider.power));
}

const shown = (name, value) => (value === null ? "no limit" : ROWS[name].whole ? number(value) : String(Number(value.toPrecision(3))));

/** What an option is among those that hold. */
function kind(option, picks) {
  if (!holds(option)) return "infeasible";
  if (option === picks.recommended) return "recommended";
  return Object.values(picks).includes(option) ? "picked" : "feasible";
}

const KINDS = {
  infeasible: { name: "infeasible", symbol: "circle-open", hue: "bad", size: 10 },
  feasible: { name: "feasible", symbol: "circle", hue: "accent", size: 10 },
  picked: { name: "other pick", symbol: "square", hue: "other", size: 11 },
  recommended: { name: "recommended", symbol: "diamond", hue: "good", size: 16 },
  dense: { name: "dense", symbol: "cross", hue: "ink", size: 13 },
};
const BEYOND = "diamond-open"; // of a drop that is drawn at the edge
const FAR = 3; // times the target's limit: where the edge is; or times the quartiles' distance above them
const TITLES = { params: "parameters", [FLOPS]: ROWS[FLOPS].heading };

/** Up to where drops are drawn: a few failed solutions would press all others into one line. */
function reach() {
  const drops = data.options.filter(known).map((option) => option[DROP]).sort((a, b) => a - b);
  const [own, now] = [data.limits[DROP], limits[DROP] ?? 0];
  const [low, high] = [1, 3].map((quarters) => drops[Math.floor((quarters * (drops.length - 1)) / 4)] ?? 0);
  const far = Math.max(1, 2 * now, own === null ? high + FAR * (high - low) : FAR * own);
  const [least, most] = [Math.min(0, ...drops), Math.max(0.1, now, ...drops.filter((drop) => drop <= far))];
  const room = 0.05 * (most - least);
  const beyond = drops.at(-1) > most ? `◇: above ${Number(most.toPrecision(3))}` : "";
  const title = beyond ? `${ROWS[DROP].heading} (${beyond})` : ROWS[DROP].heading;
  return { most, edge: most + 2 * room, range: [least - room, most + (beyond ? 3 : 1) * room], beyond, title };
}

const costs = (option) => `${number(option.params)} parameters, ${number(option[FLOPS])} ${ROWS[FLOPS].title}`;
const lost = (option) => `${ROWS[DROP].title} ${number(option[DROP], 2)} ${ROWS[DROP].unit}`;
const named = (option) => (option === data.dense ? "dense model" : `solution ${option.solution}`);

function told(option, picks) {
  const roles = Object.keys(ROLES).filter((role) => picks[role] === option).map((role) => ROLES[role]);
  const lines = [`${named(option)}${roles.length ? `: ${roles.join(", ")}` : ""}`];
  if (option.shapes) lines.push(option.shapes);
  lines.push(costs(option), lost(option));
  if (option[LATENCY] !== null) lines.push(`${number(option[LATENCY], 3)} ${ROWS[LATENCY].unit} predicted`);
  if (option !== data.dense && reasons(option).length) lines.push(`no: ${reasons(option).join(", ")}`);
  return lines.join("<br>");
}

/** The options of each kind, those at the edge last: the legend shows the mark of the first. */
function grouped(picks, most) {
  const beyond = (option) => Number(option[DROP] > most);
  const kinds = Map.groupBy(data.options.filter(known), (option) => kind(option, picks)).set("dense", [data.dense]);
  return Object.keys(KINDS).map((key) => (kinds.get(key) ?? []).sort((a, b) => beyond(a) - beyond(b)));
}

/** A trace for each kind of option, on the axes of those names. */
function traces(picks, axes, more = {}) {
  const { most, edge } = reach();
  const groups = grouped(picks, most);
  return Object.values(KINDS).map((look, index) => {
    const options = groups[index];
    const place = (option, name) => (name === DROP && option[name] > most ? edge : option[name]);
    const places = axes.map((name, side) => ["xyz"[side], options.map((option) => place(option, name))]);
    return {
      type: "scatter", mode: "markers", name: look.name, ...Object.fromEntries(places), ...more,
      text: options.map((option) => told(option, picks)), hovertemplate: "%{text}<extra></extra>",
      customdata: options.map((option) => option.command),
      marker: {
        symbol: options.map((option) => (option[DROP] > most ? BEYOND : look.symbol)),
        color: colour(look.hue), size: look.size * (axes.length === 3 ? 0.6 : 1),
        line: { width: axes.length === 3 ? 0 : 1, color: colour("card") },
      },
    };
  });
}

/** An axis of drops, or of costs: there with three ticks or more, each with its unit. */
function scaled(name) {
  const look = (text) => ({ title: { text, standoff: 8 }, showline: true, ticks: "outside", zeroline: false });
  const { title, range } = reach();
  if (name === DROP) return { ...look(title), range };
  const powers = [data.dense, ...data.options].map((option) => Math.log10(option[name]));
  const [low, high] = [Math.min(...powers), Math.max(...powers)];
  const room = Math.max(0.05, 0.06 * (high - low));
  const span = high - low + 2 * room;
  const step = span < 1 ? {} : { dtick: span < 3 ? "D2" : 1 };
  return { ...look(TITLES[name]), type: "log", range: [low - room, high + room], tickformat: "~s", ...step };
}
function flat(x, y, picks) {
  const rule = (side, name) =>
    limits[name] === null || limits[name] === undefined || (side === "x" && limits[name] <= 0)
      ? []
      : [{ type: "line", [`${side}0`]: limits[name], [`${side}1`]: limits[name], [side === "x" ? "y0" : "x0"]: 0, [side === "x" ? "y1" : "x1"]: 1,
          [side === "x" ? "yref" : "xref"]: "paper", line: { color: colour("soft"), dash: "dash", width: 1.5 } }];
  const layout = { xaxis: scaled(x), yaxis: scaled(y), shapes: [...rule("x", x), ...rule("y", y)], hovermode: "closest" };
  return [traces(picks, [x, y]), framed(layout)];
}

function solid(picks) {
  const wall = { ...axis(), color: colour("ink"), showbackground: false };
  const side = (name, text = TITLES[name]) => ({ ...wall, ...scaled(name), title: { text } });
  const scene = {
    xaxis: side("params"), yaxis: side(FLOPS), zaxis: side(DROP, ROWS[DROP].heading), uirevision: "kept",
    camera: { eye: innerWidth < 640 ? { x: 2, y: -2.1, z: 1.1 } : { x: 1.45, y: -1.55, z: 0.8 }, center: { x: 0, y: 0, z: -0.12 } }, aspectmode: "cube",
  };
  const layout = { scene, uirevision: "kept", hovermode: "closest" };
  return [traces(picks, ["params", FLOPS, DROP], { type: "scatter3d" }), framed(layout)];
}

/** Without WebGL: parameters and FLOPs, and the drop by colour and, at the pointer, in words. */
function tinted(picks) {
  const [series, layout] = flat("params", FLOPS, picks);
  const { range: [cmin, cmax], most, title } = reach();
  grouped(picks, most).forEach((options, index) => {
    const color = options.map((option) => option[DROP]);
    Object.assign(series[index].marker, { color, coloraxis: "coloraxis", line: { width: 1, color: colour("ink") } });
  });
  const colorbar = { title: { text: title, side: "right" }, thickness: 10 };
  return [series, { ...layout, coloraxis: { cmin, cmax, colorscale: "Viridis", colorbar } }];
}

function hasWebGL() {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl2") ?? canvas.getContext("webgl"));
}

function update() {
  const picks = choose(form.elements.objective.value);
  const count = Object.fromEntries(Object.keys(ROWS).map((name) => [name, 0]));
  data.options.forEach((option) => broken(option).forEach((row) => (count[row.name] += 1)));
  for (const [name, slider] of Object.entries(data.sliders)) {
    const words = shown(name, limits[name]);
    byId(`value-${name}`).textContent = words;
    byId(`value-${name}`).dataset.value = JSON.stringify(limits[name]);
    byId(`breaks-${name}`).textContent = `${count[name]} of ${data.options.length} break it`;
    byId(`limit-${name}`).setAttribute("aria-valuetext", words);
  }
  const holding = data.options.filter(holds);
  byId("chosen").textContent = sentence(holding.length, picks);
  byId("chosen").dataset.recommended = picks.recommended?.solution ?? "none";
  byId("space-edge").textContent = reach().beyond && `; ${reach().beyond} points`;
  all("#options tbody tr").forEach((row) => told7(row, picks));
  waiting ??= requestAnimationFrame(() => {
    waiting = null;
    for (const place of views) drawn.get(place)?.();
  });
}

const whole = (option) => (option === data.dense ? "the dense model" : named(option));

function sentence(holding, picks) {
  const many = `${holding} of ${data.options.length} hold`;
  const pick = picks.recommended;
  if (pick === null) return `${many}; none can be recommended.`;
  const figures = `${costs(pick)}, ${lost(pick)}`;
  const own = [data.dense, ...data.options].find((option) => option.roles.includes("recommended"));
  const pristine = Object.keys(limits).every((name) => limits[name] === data.limits[name]) && form.elements.objective.value === data.objective;
  const other = pristine && own && own !== pick ? ` The run itself recommends ${whole(own)}, by its files.` : "";
  return `${many}; recommended: ${whole(pick)} (${figures}).${other}`;
}

const numbered = new Map(data.options.map((option) => [String(option.solution), option]));
function told7(row, picks) {
  const option = numbered.get(row.dataset.solution);
  const words = holds(option) ? "yes" : `no: ${known(option) ? reasons(option).join(", ") : "failed"}`;
  const cell = row.querySelector(".feasible");
  cell.replaceChildren(Object.assign(document.createElement("span"), { className: `mood ${holds(option) ? "good" : "bad"}`, textContent: words }));
  row.querySelector(".roles").textContent = Object.keys(ROLES).filter((role) => picks[role] === option).map((role) => ROLES[role]).join(", ");
  row.classList.toggle("recommended", option === picks.recommended);
}

const views = [];
let waiting = null; // for the next frame, so that a slider that runs draws once in each
function view(name, figure, high) {
  const place = byId(name);
  views.push(place);
  lazily(place, () => {
    const [series, layout] = figure(choose(form.elements.objective.value));
    Plotly.react(place, series, legended(place, layout, series, high), settings);
    if (!place.dataset.clicks) place.on("plotly_click", (event) => copyPoint(event.points[0]));
    place.dataset.clicks = "heard";
  });
}
const copyPoint = (point) => (point.customdata ? copy(point.customdata) : say("The dense model is in the run: artifacts/baseline."));

if (form) {
  const sliders = Object.entries(data.sliders);
  const place = () => sliders.forEach(([name, slider]) => (byId(`limit-${name}`).value = positionOf(slider, limits[name])));
  form.addEventListener("input", (event) => {
    const { name, value } = event.target;
    if (data.sliders[name]) limits[name] = limitAt(name, Number(value));
    update();
  });
  form.addEventListener("reset", () => {
    Object.assign(limits, data.limits);
    setTimeout(() => {
      place();
      update();
    });
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  const spatial = hasWebGL();
  byId("space-caption").textContent += spatial ? ": drag to turn" : ", which is the colour";
  view("plot-tradeoff", spatial ? solid : tinted, 440);
  view("plot-params", (picks) => flat("params", DROP, picks), 340);
  view("plot-flops", (picks) => flat(FLOPS, DROP, picks), 340);
  place();
  update();
}
recolour();
