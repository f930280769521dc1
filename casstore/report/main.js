// The totals; then the map and the tables.

function startTotals() {
  const { stored, files, reclaimable, left } = data.totals;
  document.getElementById("store").textContent = data.store;
  document.getElementById("taken").textContent = `as of ${date(data.taken)}`;
  const shared = blobs.reduce((sum, blob) => sum + (blob.users.length > 1 ? blob.size : 0), 0);
  const apart = images.reduce((sum, image) => sum + image.disk, 0);
  const trash = blobs.reduce((sum, blob) => sum + (blob.users.length ? 0 : blob.size), 0);
  const names = images.reduce((sum, image) => sum + image.names.length, 0);
  const tiles = [
    ["On disk", bytes(stored), `${bytes(files)} uncompressed`],
    ["Images", images.length.toLocaleString("en"), `${names.toLocaleString("en")} name${names === 1 ? "" : "s"}, ${data.dangling.toLocaleString("en")} dangling`],
    ["Reclaimable", bytes(reclaimable), `${percent(reclaimable, stored)}: of images without a lease`],
    ["Saved by sharing", bytes(Math.max(apart + trash - stored, 0)), `${bytes(shared)} shared`],
  ];
  if (left) tiles.push(["Leftovers", bytes(left), "casstore gc frees them"]);
  document.getElementById("tiles").append(...tiles.map(([title, value, more]) =>
    el("div", null, el("dd", null, value, el("small", null, more)), el("dt", null, title))));
  const parts = [["unique", "in one image only", stored - shared - trash], ["shared", "shared by several", shared]];
  if (trash) parts.push(["trash", "kept in the trash", trash]);
  if (left) parts.push(["left", "leftovers", left]);
  const split = document.getElementById("split");
  for (const [kind, text, value] of parts) {
    if (value > 0) {
      const part = el("span", { class: kind });
      part.style.flexGrow = String(value);
      split.append(part);
    }
    document.getElementById("legend").append(el("li", null, el("i", { class: kind }), `${text} ${bytes(value)}`));
  }
  split.setAttribute("aria-label", parts.map(([, text, value]) => `${text}: ${bytes(value)}`).join(", "));
}

startTotals();
if (images.length) {
  startMap();
  startTables();
} else {
  document.getElementById("map-section").remove();
  document.getElementById("shared").remove();
  document.getElementById("images").replaceChildren(el("p", { class: "empty" },
    "The store has no images. casstore load, import and pull bring some."));
}
document.documentElement.dataset.ready = "yes";
