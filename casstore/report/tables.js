// The tables: sorted, searched, and drawn a page at a time, so that 5 000 rows cost what 100 do.

const PAGE = 100;
const chosen = new Set();

function cell(value) {
  return el("td", { class: value ? "num" : "num zero" }, bytes(value));
}

// Kinds of column: `value` sorts, `draw` gives the cell; `first` is the order of the first click.
const IMAGE_COLUMNS = [
  { key: "title", title: "Image", value: (image) => image.title, first: 1, draw: imageCell },
  { key: "created", title: "Created", kind: "num opt2", value: (image) => image.created ?? -1e15, first: -1, draw: (image) => timeCell(image.created) },
  { key: "used", title: "Last used", kind: "num opt", value: (image) => image.used ?? -1e15, first: -1, draw: (image) => timeCell(image.used, "opt") },
  { key: "size", title: "Size", kind: "num opt", value: (image) => image.size, first: -1, draw: (image) => withClass(cell(image.size), "opt") },
  { key: "disk", title: "On disk", kind: "num", value: (image) => image.disk, first: -1, draw: diskCell },
  { key: "shared", title: "Shared", kind: "num opt", value: (image) => image.shared, first: -1, draw: (image) => withClass(cell(image.shared), "opt") },
  { key: "hidden", title: "Hidden", kind: "num opt", value: (image) => image.hidden ?? -1, first: -1, draw: hiddenCell },
  { key: "frees", title: "Removal frees", kind: "num", value: (image) => image.frees, first: -1, draw: freesCell },
];
const LAYER_COLUMNS = [
  { key: "id", title: "Layer", value: (blob) => blob.id, first: 1, draw: (blob) => el("td", { class: "id" }, blob.id) },
  { key: "images", title: "Images", kind: "num", value: (blob) => blob.users.length, first: -1, draw: (blob) => el("td", { class: "num" }, String(blob.users.length)) },
  { key: "size", title: "On disk", kind: "num", value: (blob) => blob.size, first: -1, draw: (blob) => cell(blob.size) },
  { key: "files", title: "Files", kind: "num opt", value: (blob) => blob.files, first: -1, draw: (blob) => withClass(cell(blob.files), "opt") },
  { key: "saved", title: "Saved by sharing", kind: "num opt2", value: (blob) => blob.size * (blob.users.length - 1), first: -1,
    draw: (blob) => withClass(cell(blob.size * (blob.users.length - 1)), "opt2") },
  { key: "names", title: "In", value: (blob) => blob.users[0].title, first: 1, draw: inCell },
];

function withClass(element, name) {
  element.classList.add(name);
  return element;
}

function timeCell(seconds, more) {
  return el("td", { class: `num ${more || "opt2"}`, title: date(seconds) }, ago(seconds));
}

function diskCell(image) {
  const meter = el("div", { class: "meter", "aria-hidden": "true" });
  for (const [kind, value] of [["unique", image.unique], ["shared", image.shared]]) {
    const part = el("span", { class: kind });
    part.style.width = `${image.disk ? (100 * value) / image.disk : 0}%`;
    meter.append(part);
  }
  return el("td", { class: "num" }, bytes(image.disk), meter);
}

function freesCell(image) {
  if (image.refusal) return el("td", { class: "num zero", title: image.refusal }, "stays");
  return cell(image.frees);
}

function hiddenCell(image) {
  if (image.layers === null) return el("td", { class: "num zero opt", title: "nobody has looked into all of its layers" }, "unknown");
  return withClass(cell(image.hidden), "opt");
}

// What of the files of an image later layers overwrite or delete.
function hiddenFact(image) {
  if (image.layers === null) return `unknown; casstore report --files and casstore tree --layers ${image.short} find it out`;
  const files = [...image.layers.values()].reduce((sum, layer) => sum + layer.size, 0);
  return `${bytes(image.hidden)} of ${bytes(files)} (${percent(image.hidden, files)}) that later layers overwrite or delete`;
}

function layerFact(layer) {
  if (!layer) return "";
  const parts = [];
  if (layer.overwritten) parts.push(`${bytes(layer.overwritten)} overwritten`);
  if (layer.deleted) parts.push(`${bytes(layer.deleted)} deleted`);
  return `${bytes(layer.size)} of files` + (parts.length ? `: ${parts.join(", ")} later` : "");
}

function inCell(blob) {
  const shown = blob.users.slice(0, 3).map((image) => image.title).join(", ");
  const rest = blob.users.length - 3;
  return el("td", null, rest > 0 ? `${shown} and ${rest} more` : shown);
}

function imageCell(image) {
  const button = el("button", { type: "button", class: "name", "aria-expanded": "false" }, image.names.length ? image.names[0] : "<none>");
  const under = el("span", { class: "under" }, el("span", { class: "id" }, image.short));
  const badge = (text, kind, title) => under.append(el("span", { class: `badge ${kind}`, title }, text));
  if (image.names.length > 1) badge(`+${image.names.length - 1} name${image.names.length > 2 ? "s" : ""}`, "", image.names.slice(1, 20).join("\n"));
  if (!image.names.length && !image.built.length) badge("dangling", "warn");
  if (image.built.length) badge(`${image.built.length} built on it`, "");
  if (image.leases.length) badge("leased", "warn", image.leases.join("\n"));
  if (image.pinned) badge("pinned", "warn");
  return el("td", null, button, under);
}

function details(image) {
  const facts = el("dl", { class: "facts" });
  const fact = (name, value) => { if (value) facts.append(el("dt", null, name), el("dd", null, value)); };
  fact("ID", el("span", { class: "id" }, image.id));
  fact("Names", image.names.join(", "));
  fact("Created", `${date(image.created)} (${ago(image.created)})`);
  if (image.used !== null) fact("Last used", `${date(image.used)} (${ago(image.used)})`);
  if (image.base >= 0) fact("Built on", images[image.base].title);
  fact("Below it", image.built.slice(0, 8).map((child) => child.title).join(", ") + (image.built.length > 8 ? ` and ${image.built.length - 8} more` : ""));
  fact("Leases", image.leases.join(", "));
  fact("Removal", image.refusal ? `refused: ${image.refusal}` : `frees ${bytes(image.frees)} of ${bytes(image.disk)}`);
  if (image.blobs.some((blob) => blob.layer)) fact("Hidden", hiddenFact(image));
  for (const [name, value] of image.labels) fact(name, value || "(empty)");
  const rows = image.blobs.filter((blob) => blob.layer).map((blob) => el("tr", null,
    el("td", { class: "id" }, el("i", { class: blob.users.length > 1 ? "shared" : "unique" }), blob.id),
    el("td", { class: "num" }, bytes(blob.size)),
    el("td", null, blob.users.length > 1 ? `shared by ${blob.users.length} images` : "in this image only"),
    image.layers && el("td", null, layerFact(image.layers.get(blob)))));
  const layers = el("table", null, el("caption", { class: "unseen" }, "Layers"), el("tbody", null, ...rows));
  return el("td", { colspan: IMAGE_COLUMNS.length + 1 }, facts, layers);
}

function expand(event) {
  const button = event.target.closest("button.name");
  if (!button) return;
  const row = button.closest("tr");
  const open = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!open));
  if (open) row.nextElementSibling.remove();
  else row.after(el("tr", { class: "more" }, details(images[row.dataset.image])));
}

// A table whose rows are `list()`; returns a function that draws it anew.
function makeTable(place, more, columns, start, list, rowOf, pick) {
  const state = { key: start, way: -1, shown: PAGE };
  const heads = columns.map((column) => {
    const button = el("button", { type: "button" }, column.title);
    button.addEventListener("click", () => {
      state.way = state.key === column.key ? -state.way : column.first;
      state.key = column.key;
      draw();
    });
    return el("th", { scope: "col", class: column.kind }, button);
  });
  const body = el("tbody");
  const first = pick ? [el("th", { scope: "col" }, el("span", { class: "unseen" }, "Select"))] : [];
  place.append(el("table", null, el("thead", null, el("tr", null, ...first, ...heads)), body));

  function draw(keep) {
    if (!keep) state.shown = PAGE;
    columns.forEach((column, at) => {
      if (column.key === state.key) heads[at].setAttribute("aria-sort", state.way > 0 ? "ascending" : "descending");
      else heads[at].removeAttribute("aria-sort");
    });
    const column = columns.find((one) => one.key === state.key);
    const all = list();
    const keyed = all.map((item) => [column.value(item), item]);
    keyed.sort(([a], [b]) => (typeof a === "string" ? (a < b ? -1 : a > b ? 1 : 0) : a - b) * state.way);
    body.replaceChildren(...keyed.slice(0, state.shown).map(([, item]) => rowOf(item)));
    more.replaceChildren();
    if (keyed.length > state.shown) {
      more.append(el("span", { class: "small" }, `${state.shown.toLocaleString("en")} of ${keyed.length.toLocaleString("en")} shown`));
      for (const [text, count] of [["Show 200 more", state.shown + 200], ["Show all", Infinity]]) {
        const button = el("button", { type: "button", class: "plain" }, text);
        button.addEventListener("click", () => { state.shown = count; draw(true); });
        more.append(button);
      }
    }
    return all.length;
  }
  return draw;
}

function imageRow(image) {
  const box = el("input", { type: "checkbox", "aria-label": `Select ${image.title}` });
  box.checked = chosen.has(image);
  return el("tr", { "data-image": image.index }, el("td", { class: "pick" }, box), ...IMAGE_COLUMNS.map((column) => column.draw(image)));
}

function showChosen() {
  const bar = document.getElementById("chosen");
  bar.hidden = !chosen.size;
  if (!chosen.size) return;
  const { going, freed } = removal(chosen);
  const stays = chosen.size - going.size;
  const command = el("input", { type: "text", readonly: true, "aria-label": "Command that removes them" });
  command.value = `${data.command} ${[...going].sort((a, b) => b.created - a.created).map((image) => image.short).join(" ")}`;
  command.addEventListener("focus", () => command.select());
  const clear = el("button", { type: "button", class: "plain" }, "Clear");
  clear.addEventListener("click", () => {
    chosen.clear();
    for (const box of document.querySelectorAll("td.pick input")) box.checked = false;
    showChosen();
  });
  const said = `${chosen.size} selected: removing ${chosen.size > 1 ? "them together" : "it"} frees ${bytes(freed)}`;
  bar.replaceChildren(el("strong", null, said), stays ? el("span", { class: "badge warn" }, `${stays} would stay: in use`) : "",
    going.size ? command : "", clear);
}

const STATES = {
  "": () => true,
  free: (image) => !image.refusal,
  dangling: (image) => !image.names.length && !image.built.length,
  held: (image) => image.leases.length > 0 || image.pinned,
  base: (image) => image.built.length > 0,
};

function startTables() {
  const search = document.getElementById("search");
  const state = document.getElementById("state");
  const place = document.getElementById("image-table");
  for (const key of ["used", "hidden"]) {
    const known = images.some((image) => image[key] !== null);
    if (!known) IMAGE_COLUMNS.splice(IMAGE_COLUMNS.findIndex((column) => column.key === key), 1);
  }
  const fitting = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const right = STATES[state.value];
    return images.filter((image) => right(image) && words.every((word) => image.text.includes(word)));
  };
  const draw = makeTable(place, document.getElementById("image-more"), IMAGE_COLUMNS, "frees", fitting, imageRow, true);
  const refresh = () => {
    const count = draw();
    const whole = images.length.toLocaleString("en");
    document.getElementById("count").textContent = count === images.length ? `${whole} image${images.length === 1 ? "" : "s"}` : `${count.toLocaleString("en")} of ${whole} images fit`;
  };
  let waiting = 0;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(refresh, 80); });
  state.addEventListener("change", refresh);
  place.addEventListener("click", expand);
  place.addEventListener("change", (event) => {
    const row = event.target.closest("tr[data-image]");
    if (!row) return;
    const image = images[row.dataset.image];
    if (event.target.checked) chosen.add(image);
    else chosen.delete(image);
    showChosen();
  });
  refresh();

  const shared = blobs.filter((blob) => blob.layer && blob.users.length > 1);
  if (!shared.length) document.getElementById("layer-table").append(el("p", { class: "empty" }, "No layer is shared."));
  else makeTable(document.getElementById("layer-table"), document.getElementById("layer-more"), LAYER_COLUMNS, "saved", () => shared,
    (blob) => el("tr", null, ...LAYER_COLUMNS.map((column) => column.draw(blob))), false)();
}
