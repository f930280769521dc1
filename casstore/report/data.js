"use strict";
// The store as it was: what the page embeds, with what follows from it.

const data = JSON.parse(document.getElementById("data").textContent);
const UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

function bytes(count) {
  let unit = 0;
  let amount = count;
  while (amount >= 999.5 && unit < UNITS.length - 1) {
    amount /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? amount : amount.toPrecision(3)} ${UNITS[unit]}`;
}

function percent(part, whole) {
  if (!whole || !part) return "0 %";
  const share = (100 * part) / whole;
  return share < 1 ? "< 1 %" : `${Math.round(share)} %`;
}

const SPANS = [["year", 31536000], ["month", 2629800], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60]];

function ago(seconds) {
  if (seconds === null) return "unknown";
  const past = data.taken - seconds;
  for (const [word, length] of SPANS) {
    const count = Math.floor(past / length);
    if (count >= 1) return `${count} ${word}${count > 1 ? "s" : ""} ago`;
  }
  return past < 0 ? "in the future" : "just now";
}

function date(seconds) {
  const moment = seconds === null ? new Date(NaN) : new Date(seconds * 1000);
  return isNaN(moment) ? "unknown" : moment.toISOString().slice(0, 16).replace("T", " ") + " UTC";
}

// el("td", {class: "num"}, "text", child…): text is always text, never markup.
function el(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

const blobs = data.blobs.map(([id, size, files, layer]) => ({ id, size, files, layer: layer === 1, users: [] }));
const images = data.images.map((raw, index) => ({
  index,
  id: raw.id,
  short: raw.id.slice(0, 12),
  names: raw.names,
  repository: raw.names.length ? repositoryOf(raw.names[0]) : "<none>",
  created: raw.created,
  used: raw.used,
  size: raw.size,
  frees: raw.frees,
  refusal: raw.refusal,
  leases: raw.leases,
  pinned: raw.pinned,
  base: raw.base,
  labels: raw.labels,
  blobs: raw.blobs.map((blob) => blobs[blob]),
  // by blob, what it brings to this image; null where nobody has looked into its layers
  layers: raw.layers && new Map(raw.layers.map(([blob, size, overwritten, deleted]) => [blobs[blob], { size, overwritten, deleted }])),
  hidden: raw.layers && raw.layers.reduce((sum, [, , overwritten, deleted]) => sum + overwritten + deleted, 0),
  built: [],
  disk: 0,
  unique: 0,
  shared: 0,
  part: 0,
}));
for (const image of images) {
  for (const blob of image.blobs) blob.users.push(image);
  if (image.base >= 0) images[image.base].built.push(image);
}
for (const image of images) {
  for (const blob of image.blobs) {
    image.disk += blob.size;
    if (blob.users.length === 1) image.unique += blob.size;
    image.part += blob.size / blob.users.length;
  }
  image.shared = image.disk - image.unique;
  image.title = image.names.length ? image.names[0] : `<none> ${image.short}`;
  image.text = [image.id, ...image.names, ...image.leases, ...image.labels.flat(), image.pinned ? "pinned" : ""]
    .join("\n").toLowerCase();
}

function repositoryOf(name) {
  const at = name.indexOf("@");
  if (at >= 0) return name.slice(0, at);
  const colon = name.lastIndexOf(":");
  return colon > name.lastIndexOf("/") ? name.slice(0, colon) : name;
}

// What goes if these images are removed together: an image stays while one built on it stays.
function removal(chosen) {
  const going = new Set([...chosen].filter((image) => !image.leases.length && !image.pinned));
  for (let changed = true; changed; ) {
    changed = false;
    for (const image of going) {
      if (image.built.some((child) => !going.has(child))) {
        going.delete(image);
        changed = true;
      }
    }
  }
  let freed = 0;
  const seen = new Set();
  for (const image of going) {
    for (const blob of image.blobs) {
      if (!seen.has(blob)) {
        seen.add(blob);
        if (blob.users.every((user) => going.has(user))) freed += blob.size;
      }
    }
  }
  return { going, freed };
}
