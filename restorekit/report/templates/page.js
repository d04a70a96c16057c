"use strict";
// The page can be read without this. It adds sorting, the slider, the pictures side by side, and a close look.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const make = (name, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};
document.documentElement.classList.add("js");

function sortable(table) {
  const body = table.tBodies[0];
  const heads = all("thead tr:last-child th", table);
  const value = (row, column) => {
    const cell = row.cells[column];
    const number = cell.dataset.value;
    return number === undefined ? cell.textContent : number === "" ? NaN : Number(number.replace("inf", "Infinity"));
  };
  const missing = (v) => v !== v;
  heads.forEach((head, column) => {
    const button = make("button", { type: "button", textContent: head.textContent });
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const rows = [...body.rows].filter((row) => !row.classList.contains("refused"));
      rows.sort((one, two) => {
        const [a, b] = [value(one, column), value(two, column)];
        if (missing(a) || missing(b)) return missing(a) - missing(b); // last, whichever the direction
        const order = typeof a === "number" ? (a > b) - (a < b) : a.localeCompare(b);
        return descending ? -order : order;
      });
      body.prepend(...rows);
    });
  });
}

function copyable(command) {
  const button = make("button", { type: "button", className: "button", textContent: "Copy" });
  button.addEventListener("click", async () => {
    const code = command.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code); // where the browser does not allow it: ready to be copied by hand
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 1600);
  });
  command.append(button);
}

function themed(header) {
  const dark = () => {
    const set = document.documentElement.dataset.theme;
    return set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const button = make("button", { type: "button", className: "button theme" });
  const label = () => (button.textContent = dark() ? "Light" : "Dark");
  button.setAttribute("aria-label", "Switch between light and dark");
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    label();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  label();
  header.append(button);
}

function gallery(row, cards) {
  const shown = cards.map((card) => {
    const picture = card.querySelector(".stage img").cloneNode();
    delete picture.dataset.name;
    const name = make("a", { href: `#${card.id}`, textContent: card.dataset.solver });
    return make("figure", {}, picture, make("figcaption", {}, name, card.querySelector(".quality")?.textContent ?? ""));
  });
  row.firstElementChild.after(...shown);
}

function samples(row, card) {
  const first = card.querySelector(".stage img").cloneNode();
  delete first.dataset.name;
  const caption = [...card.querySelector(".under").childNodes].map((node) => node.cloneNode(true));
  row.prepend(make("figure", {}, first, make("figcaption", {}, ...caption)));
}

function slider(viewer, card, pictures) {
  const stage = viewer.querySelector(".stage");
  const after = stage.querySelector("img");
  const before = make("img", { className: "before", alt: "" });
  const line = make("span", { className: "line" });
  const range = make("input", { type: "range", min: 0, max: 100, step: 0.5, value: 50 });
  const left = make("span", { className: "tagged left" });
  const right = make("span", { className: "tagged right" });
  const short = (name) => name.replace(`${card.dataset.solver}: `, "");
  const place = () => {
    stage.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${Math.round(range.value)} % ${left.textContent}`);
  };
  const menu = (label, names, chosen, show) => {
    const select = make("select", {}, ...names.map((name) => new Option(short(name), name, name === chosen, name === chosen)));
    select.addEventListener("change", () => show(select.value));
    show(chosen);
    return make("label", {}, label, select);
  };
  const named = (target, tagged) => (name) => {
    const source = pictures.get(name);
    target.src = source.src;
    target.alt = source.alt;
    tagged.textContent = short(name);
    range.setAttribute("aria-label", `Divider between ${left.textContent} on the left and ${right.textContent} on the right`);
    place();
  };
  const own = [...pictures.keys()].filter((name) => name.startsWith(`${card.dataset.solver}: `));
  const others = [...pictures.keys()].filter((name) => name !== after.dataset.name);
  // The picture on the page is what the menus of the other cards show: what moves under the divider is a copy of it.
  const result = after.cloneNode();
  result.removeAttribute("data-name");
  pictures.set(after.dataset.name, { src: after.src, alt: after.alt });
  after.replaceWith(result);
  stage.append(before, line, left, right, range);
  range.addEventListener("input", place);
  const look = make("button", { type: "button", className: "button", textContent: "Zoom" });
  look.addEventListener("click", () => closeLook(result));
  viewer.append(
    make("div", { className: "controls" },
      menu("Left", others, "Measurement", named(before, left)),
      menu("Right", own, after.dataset.name, named(result, right)), look),
  );
}

// One picture at a time, all at the same place and magnification: the arrow keys flip between them.
const viewing = { dialog: null, list: [], index: 0, zoom: 1, x: 0, y: 0 };

function drawLook() {
  const { dialog, list, index } = viewing;
  const picture = list[index];
  const pane = dialog.querySelector(".pane");
  const shown = pane.querySelector("img");
  const [w, h] = [Number(picture.getAttribute("width")), Number(picture.getAttribute("height"))];
  const fit = Math.min(pane.clientWidth / w, pane.clientHeight / h);
  const scale = fit * viewing.zoom;
  const clamp = (at, room, size) => (size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, at)));
  viewing.x = clamp(viewing.x, pane.clientWidth, w * scale);
  viewing.y = clamp(viewing.y, pane.clientHeight, h * scale);
  if (shown.src !== picture.src) shown.src = picture.src;
  shown.alt = picture.alt;
  shown.style.width = `${w * scale}px`;
  shown.style.height = `${h * scale}px`;
  shown.style.transform = `translate(${viewing.x}px, ${viewing.y}px)`;
  dialog.querySelector("output").textContent = `${picture.alt} · ${Math.round(100 * scale)} %`;
}

function zoomLook(factor, px, py) {
  const pane = viewing.dialog.querySelector(".pane");
  const [x, y] = [px ?? pane.clientWidth / 2, py ?? pane.clientHeight / 2];
  const zoom = Math.min(64, Math.max(1, viewing.zoom * factor));
  viewing.x = x - ((x - viewing.x) * zoom) / viewing.zoom;
  viewing.y = y - ((y - viewing.y) * zoom) / viewing.zoom;
  viewing.zoom = zoom;
  drawLook();
}

function turnLook(by) {
  viewing.index = (viewing.index + by + viewing.list.length) % viewing.list.length;
  drawLook();
}

function buildLook() {
  const button = (text, label, action) => {
    const b = make("button", { type: "button", className: "button", textContent: text });
    b.setAttribute("aria-label", label);
    b.addEventListener("click", action);
    return b;
  };
  const pane = make("div", { className: "pane" }, make("img", { draggable: false }));
  const dialog = make("dialog", {}, pane);
  dialog.setAttribute("aria-label", "A picture close up");
  dialog.append(make("div", { className: "foot" }, make("output"),
    button("‹", "Previous picture", () => turnLook(-1)), button("›", "Next picture", () => turnLook(1)),
    button("−", "Smaller", () => zoomLook(1 / 1.5)), button("+", "Larger", () => zoomLook(1.5)),
    button("Close", "Close", () => dialog.close())));
  const touches = new Map();
  const spread = () => {
    const [a, b] = [...touches.values()];
    return Math.hypot(a.x - b.x, a.y - b.y);
  };
  pane.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomLook(Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
  }, { passive: false });
  pane.addEventListener("pointerdown", (event) => {
    pane.setPointerCapture(event.pointerId);
    touches.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  pane.addEventListener("pointermove", (event) => {
    const last = touches.get(event.pointerId);
    if (!last) return;
    const before = touches.size === 2 ? spread() : 0;
    viewing.x += (event.clientX - last.x) / touches.size;
    viewing.y += (event.clientY - last.y) / touches.size;
    touches.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (before > 0) {
      const [a, b] = [...touches.values()];
      zoomLook(spread() / before, (a.x + b.x) / 2, (a.y + b.y) / 2);
    } else drawLook();
  });
  for (const end of ["pointerup", "pointercancel"]) pane.addEventListener(end, (event) => touches.delete(event.pointerId));
  dialog.addEventListener("keydown", (event) => {
    const actions = { ArrowLeft: () => turnLook(-1), ArrowRight: () => turnLook(1), "+": () => zoomLook(1.5), "-": () => zoomLook(1 / 1.5) };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });
  addEventListener("resize", () => dialog.open && drawLook());
  document.body.append(dialog);
  return dialog;
}

function closeLook(picture) {
  viewing.dialog ??= buildLook();
  const seen = new Set(); // a picture that is on the page twice is turned to once
  viewing.list = all("img[data-zoom]").filter((p) => p === picture || (p.src !== picture.src && !seen.has(p.src) && seen.add(p.src)));
  viewing.index = viewing.list.indexOf(picture);
  Object.assign(viewing, { zoom: 1, x: 0, y: 0 });
  viewing.dialog.showModal();
  drawLook();
}

all("header").slice(0, 1).forEach(themed);
all(".command").forEach(copyable);
all("table.sortable").forEach(sortable);
const cards = all(".card");
all(".beside").forEach((row) => gallery(row, cards));
cards.forEach((card) => all(".samples", card).forEach((row) => samples(row, card)));
const pictures = new Map(all("img[data-name]").map((picture) => [picture.dataset.name, picture]));
cards.forEach((card) => all(".viewer", card).forEach((viewer) => slider(viewer, card, pictures)));
all("img[data-zoom]").filter((picture) => !picture.closest(".stage")).forEach((picture) => {
  picture.tabIndex = 0;
  picture.setAttribute("role", "button");
  picture.addEventListener("click", () => closeLook(picture));
  picture.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    closeLook(picture);
  });
});
