// The treemap: repositories > images > layers. Areas are bytes; see AREAS for which.

const AREAS = {
  disk: (image) => ({ value: image.part, of: (blob) => blob.size / blob.users.length }),
  frees: (image) => ({ value: image.unique, of: (blob) => (blob.users.length === 1 ? blob.size : 0) }),
  size: (image) => ({ value: image.size, of: (blob) => blob.files }),
};
const INK = "#14171a"; // on both grounds, in light and in dark: a contrast of 6 and more
const HEADER = 19; // height of a repository's title, in CSS pixels
const canvas = document.getElementById("map");
const pen = canvas.getContext("2d");
const tip = document.getElementById("tip");
const map = { root: null, at: null, drawn: [], focus: null, inks: {} };

function grown(area) {
  const root = { name: "Store", kind: "store", value: 0, children: [], above: null };
  const byName = new Map();
  for (const image of images) {
    const measure = AREAS[area](image);
    if (!(measure.value > 0)) continue;
    let repository = byName.get(image.repository);
    if (!repository) {
      repository = { name: image.repository, kind: "repository", value: 0, children: [], above: root };
      byName.set(image.repository, repository);
      root.children.push(repository);
    }
    const leaf = { name: image.title, kind: "image", value: measure.value, image, above: repository, measure, children: null };
    repository.children.push(leaf);
    repository.value += leaf.value;
    root.value += leaf.value;
  }
  sorted(root);
  root.children.forEach(sorted);
  return root;
}

function sorted(node) {
  node.children.sort((a, b) => b.value - a.value);
}

// Layers are put under an image when somebody looks at it: there are ten times as many.
function childrenOf(node) {
  if (node.kind === "image" && node.children === null) {
    let rest = 0;
    node.children = [];
    for (const blob of node.image.blobs) {
      const value = node.measure.of(blob);
      if (!blob.layer) rest += value;
      else if (value > 0) node.children.push({ name: `layer ${blob.id}`, kind: "layer", value, blob, above: node, children: [] });
    }
    if (rest > 0) node.children.push({ name: "configs and manifests", kind: "documents", value: rest, above: node, children: [] });
    sorted(node);
  }
  return node.children;
}

// Squarified treemap (Bruls, Huizing, van Wijk 2000): rows that keep rectangles near to squares.
function squarify(nodes, x, y, width, height) {
  const total = nodes.reduce((sum, node) => sum + node.value, 0);
  const placed = [];
  if (!(total > 0) || width < 1 || height < 1) return placed;
  const scale = (width * height) / total;
  let start = 0;
  while (start < nodes.length) {
    const side = Math.min(width, height);
    let sum = 0;
    let worst = Infinity;
    let end = start;
    while (end < nodes.length) {
      const area = nodes[end].value * scale;
      const next = sum + area;
      const largest = nodes[start].value * scale;
      const ratio = Math.max((side * side * largest) / (next * next), (next * next) / (side * side * area));
      if (ratio > worst) break;
      worst = ratio;
      sum = next;
      end += 1;
    }
    const thickness = sum / side;
    let along = 0;
    for (const node of nodes.slice(start, end)) {
      const length = (node.value * scale) / thickness;
      placed.push(width >= height
        ? { node, x, y: y + along, w: thickness, h: length }
        : { node, x: x + along, y, w: length, h: thickness });
      along += length;
    }
    if (width >= height) { x += thickness; width -= thickness; } else { y += thickness; height -= thickness; }
    start = end;
    if (width < 0.5 || height < 0.5) break;
  }
  return placed;
}

function readInks() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["unique", "shared", "docs", "card", "text", "soft", "line", "page"]) {
    map.inks[name] = style.getPropertyValue(`--${name}`).trim();
  }
  map.inks.font = getComputedStyle(document.body).fontFamily;
}

function mixed(from, to, share) {
  const channels = [1, 3, 5].map((at) => {
    const a = parseInt(from.slice(at, at + 2), 16);
    const b = parseInt(to.slice(at, at + 2), 16);
    return Math.round(a + (b - a) * share);
  });
  return `#${channels.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

const MIDDLE = "#e4e0d4"; // between the two, so that ages do not meet in a brown
const OLDEST = 365 * 86400; // what is older looks alike

function groundOf(node, by) {
  if (node.kind === "documents") return map.inks.docs;
  if (by !== "sharing") {
    const image = node.image || node.above.image;
    if (image[by] === null) return map.inks.docs;
    const old = Math.sqrt(Math.min(Math.max(data.taken - image[by], 0) / OLDEST, 1));
    return old < 0.5 ? mixed(map.inks.shared, MIDDLE, 2 * old) : mixed(MIDDLE, map.inks.unique, 2 * old - 1);
  }
  if (node.kind === "layer") return node.blob.users.length > 1 ? map.inks.shared : map.inks.unique;
  return map.inks.shared;
}

function drawMap() {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  map.drawn = [];
  const by = document.getElementById("colour").value;
  if (!(map.at.value > 0)) {
    label("There is nothing to draw here.", 12, 26, width - 24, map.inks.soft, 13);
    return;
  }
  for (const spot of squarify(childrenOf(map.at), 0, 0, width, height)) drawNode(spot, by, map.at.kind === "store");
  drawFocus();
}

function drawNode(spot, by, nested) {
  const { node, x, y, w, h } = spot;
  if (w < 1 || h < 1) return;
  map.drawn.push(spot);
  if (node.kind === "repository") {
    const titled = nested && h > 2 * HEADER && w > 46;
    pen.fillStyle = map.inks.page;
    pen.fillRect(x + 0.5, y + 0.5, w - 1, h - 1);
    if (titled) drawTitle(node, x + 6, y + 13.5, w - 12);
    const top = titled ? HEADER : 1;
    for (const inner of squarify(node.children, x + 1, y + top, w - 2, h - top - 1)) drawNode(inner, by, nested);
    return;
  }
  const ground = groundOf(node, by);
  const gap = w > 6 && h > 6 ? 1 : w > 2.5 && h > 2.5 ? 0.5 : 0;
  pen.fillStyle = ground;
  pen.fillRect(x + gap / 2, y + gap / 2, w - gap, h - gap);
  if (node.kind === "image" && by === "sharing") {
    if (w * h > 2400) drawLayers(node, x + gap, y + gap, w - 2 * gap, h - 2 * gap);
    else drawShare(node, x + gap / 2, y + gap / 2, w - gap, h - gap);
  }
  if (w > 44 && h > 17) {
    const tag = node.kind === "image" && nested ? tagOf(node) : node.name;
    label(tag, x + 6, y + 14, w - 12, INK, 11.5, 600);
    if (h > 33) label(bytes(node.value), x + 6, y + 28, w - 12, INK, 11);
  }
}

// A repository's name and bytes; leading parts of a path go first where there is no room.
function drawTitle(node, x, y, room) {
  pen.font = `600 11.5px ${map.inks.font}`;
  const wide = pen.measureText("00.0 MB  ").width;
  const withBytes = room > wide + 50;
  const left = room - (withBytes ? wide : 0);
  let name = node.name;
  const parts = name.split("/");
  while (parts.length > 1 && pen.measureText(name).width > left) {
    parts.shift();
    name = `…/${parts.join("/")}`;
  }
  label(name, x, y, left, map.inks.text, 11.5, 600, 2);
  if (withBytes) label(bytes(node.value), x + Math.min(pen.measureText(name).width, left) + 8, y, wide, map.inks.soft, 11.5);
}

// Too small for layers: what is shared, and what is not.
function drawShare(node, x, y, w, h) {
  const share = node.image.part ? node.image.unique / node.image.part : 0;
  pen.fillStyle = map.inks.unique;
  if (w >= h) pen.fillRect(x, y, w * share, h);
  else pen.fillRect(x, y, w, h * share);
}

function drawLayers(node, x, y, w, h) {
  for (const part of squarify(childrenOf(node), x, y, w, h)) {
    pen.fillStyle = groundOf(part.node, "sharing");
    pen.fillRect(part.x, part.y, part.w, part.h);
    if (part.w > 3 && part.h > 3) {
      pen.strokeStyle = "rgb(255 255 255 / .35)";
      pen.lineWidth = 1;
      pen.strokeRect(part.x + 0.5, part.y + 0.5, part.w - 1, part.h - 1);
    }
  }
}

function tagOf(node) {
  const name = node.name;
  return name.startsWith(node.above.name) && name.length > node.above.name.length ? name.slice(node.above.name.length + 1) : name;
}

function label(text, x, y, room, ink, size, weight, least = 5) {
  if (room < 16) return;
  pen.font = `${weight || 400} ${size}px ${map.inks.font}`;
  pen.fillStyle = ink;
  let shown = text;
  if (pen.measureText(shown).width > room) {
    let low = 0;
    let high = shown.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (pen.measureText(`${text.slice(0, middle)}…`).width <= room) low = middle;
      else high = middle - 1;
    }
    if (low < least) return; // a letter or two of a tag tell nothing
    shown = `${text.slice(0, low)}…`;
  }
  pen.fillText(shown, x, y);
}

function drawFocus() {
  const spot = map.drawn.find((one) => one.node === map.focus);
  if (!spot) return;
  pen.strokeStyle = map.inks.text;
  pen.lineWidth = 2;
  pen.strokeRect(spot.x + 1, spot.y + 1, Math.max(spot.w - 2, 1), Math.max(spot.h - 2, 1));
}

function described(node) {
  const lines = [node.name];
  const whole = map.root.value;
  lines.push(`${bytes(node.value)}, ${percent(node.value, whole)} of what is shown`);
  if (node.kind === "repository") lines.push(`${node.children.length} image${node.children.length > 1 ? "s" : ""}`);
  if (node.kind === "image") {
    const image = node.image;
    lines.push(`on disk ${bytes(image.disk)}, of which ${bytes(image.shared)} shared`);
    lines.push(image.refusal ? `stays: ${image.refusal}` : `removing it frees ${bytes(image.frees)}`);
    lines.push(`created ${ago(image.created)}`);
  }
  if (node.kind === "layer") {
    lines.push(`${bytes(node.blob.size)} on disk, ${bytes(node.blob.files)} of files`);
    lines.push(node.blob.users.length > 1 ? `shared by ${node.blob.users.length} images` : "in this image only");
  }
  return lines;
}

function spotAt(x, y) {
  let found = null;
  for (const spot of map.drawn) {
    if (x >= spot.x && x < spot.x + spot.w && y >= spot.y && y < spot.y + spot.h) found = spot;
  }
  return found;
}

function showTip(event) {
  const box = canvas.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  const spot = spotAt(x, y);
  tip.hidden = !spot;
  if (!spot) return;
  const [first, ...rest] = described(spot.node);
  tip.replaceChildren(el("b", null, first), ...rest.map((line) => el("div", null, line)));
  tip.style.left = `${Math.max(0, Math.min(x + 14, box.width - tip.offsetWidth - 4))}px`;
  tip.style.top = `${y + 18 + tip.offsetHeight > box.height ? Math.max(0, y - tip.offsetHeight - 10) : y + 18}px`;
}

function goTo(node) {
  map.at = node;
  map.focus = null;
  tip.hidden = true;
  const steps = [];
  for (let at = node; at; at = at.above) steps.unshift(at);
  const path = document.getElementById("path");
  path.replaceChildren();
  steps.forEach((step, place) => {
    if (place) path.append(el("span", { class: "sep", "aria-hidden": "true" }, "›"));
    if (step === node) {
      path.append(el("strong", { "aria-current": "location" }, step.name), ` ${bytes(step.value)}`);
    } else {
      const button = el("button", { type: "button" }, step.name);
      button.addEventListener("click", () => goTo(step));
      path.append(button);
    }
  });
  drawMap();
}

function enter(node) {
  if (map.at.kind === "store" && node.kind === "image") goTo(node.above.children.length > 1 ? node.above : node);
  else if (node.kind === "repository" || node.kind === "image") goTo(node);
}

function step(event) {
  const keys = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
  if (event.key === "Escape" || event.key === "Backspace") {
    if (map.at.above) { goTo(map.at.above); event.preventDefault(); }
    return;
  }
  if (event.key === "Enter" && map.focus) { enter(map.focus); event.preventDefault(); return; }
  const way = keys[event.key];
  if (!way) return;
  event.preventDefault();
  const spots = map.drawn.filter((spot) => spot.node.kind !== "repository");
  if (!spots.length) return;
  const here = spots.find((spot) => spot.node === map.focus);
  let best = here || spots[0];
  if (here) {
    let nearest = Infinity;
    const [cx, cy] = [here.x + here.w / 2, here.y + here.h / 2];
    for (const spot of spots) {
      const [dx, dy] = [spot.x + spot.w / 2 - cx, spot.y + spot.h / 2 - cy];
      const ahead = dx * way[0] + dy * way[1];
      if (spot === here || ahead <= 0.5) continue;
      const distance = ahead + 3 * Math.abs(dx * way[1] + dy * way[0]);
      if (distance < nearest) { nearest = distance; best = spot; }
    }
  }
  map.focus = best.node;
  document.getElementById("said").textContent = described(best.node).join(", ");
  drawMap();
}

function showScale() {
  const by = document.getElementById("colour").value;
  const scale = document.getElementById("scale");
  const words = by === "sharing" ? ["only this image needs it: goes with it", "shared with other images"]
    : by === "created" ? ["a year old or more", "just made"] : ["not used for a year", "just used"];
  scale.className = "small scale";
  words.push(by === "sharing" ? "configs and manifests" : "unknown");
  scale.replaceChildren(...["unique", "shared", "docs"].map((kind, at) => el("span", null, el("i", { class: kind }), words[at])));
}

function startMap() {
  const area = document.getElementById("area");
  const colour = document.getElementById("colour");
  if (!images.some((image) => image.used !== null)) colour.querySelector("option[value=used]").remove();
  const regrow = () => { map.root = grown(area.value); goTo(map.root); };
  area.addEventListener("change", regrow);
  colour.addEventListener("change", () => { showScale(); drawMap(); });
  canvas.addEventListener("mousemove", showTip);
  canvas.addEventListener("mouseleave", () => { tip.hidden = true; });
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    const spot = spotAt(event.clientX - box.left, event.clientY - box.top);
    if (spot) enter(spot.node);
  });
  canvas.addEventListener("keydown", step);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readInks(); drawMap(); });
  new ResizeObserver(() => drawMap()).observe(canvas);
  readInks();
  showScale();
  regrow();
}
