"use strict";
// Draws the DAG, and lets pointer and keyboard move over it.

const payload = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);

function make(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

class Graph {
  constructor(inspection, optimization) {
    this.view = $("view");
    this.data = items(inspection, optimization);
    this.most = Math.max(1, ...this.data.edges.map((edge) => edge.madds || 0));
    this.changes = this.data.edges.filter((edge) => edge.changed);
    this.spare = this.data.edges.filter((edge) => edge.state === "N" && !edge.changed);
    this.at = -1;
  }

  start() {
    this.size = layOut(this.data);
    for (const link of this.data.links) $("wires").append(this.line(link, "fixed"));
    for (const edge of this.data.carrying) $("wires").append(this.drawEdge(edge, curve(edge.points)));
    for (const map of this.data.maps) $("boxes").append(this.drawMap(map));
    this.connect();
    this.current = this.data.maps[0];
    if (this.current) this.current.element.setAttribute("tabindex", "0");
    this.drawMiniature();
    this.listen();
    this.home();
    $("wait").hidden = true;
  }

  /** What the arrow keys walk along: maps and drawn edges, by source and target. */
  connect() {
    for (const map of this.data.maps) map.out = [], map.in = [];
    const drawn = [...this.data.carrying, ...($("show-spare").checked ? this.spare : [])];
    for (const edge of drawn) edge.from.out.push(edge), edge.into.in.push(edge);
  }

  line(edge, kind) {
    return make("path", { class: `wire ${kind}`, d: curve(edge.points), "marker-end": "url(#head)" });
  }

  drawEdge(edge, path) {
    const kind = edge.gone ? "gone" : edge.to;
    const group = make("g", { class: `item edge${edge.changed ? " changed" : ""}` });
    if (edge.changed) group.append(make("path", { class: "halo", d: path }));
    const wire = make("path", { class: `wire ${kind}`, d: path, "marker-end": "url(#head)" });
    if (kind === "O") wire.style.setProperty("--width", 1.6 + 3.2 * Math.sqrt((edge.madds || 0) / this.most));
    group.append(wire, make("path", { class: "touch", d: path }));
    if (edge.label) {
      const width = labelWidth(edge);
      group.append(make("rect", { class: "tag", x: edge.x - width / 2, y: edge.y - 9, width, height: 18, rx: 4 }));
      group.append(make("text", { x: edge.x, y: edge.y + 4 }, edge.label));
    }
    if (edge.gone) {
      const end = edge.points[edge.points.length - 1], last = edge.points[edge.points.length - 2];
      const x = (end.x + last.x) / 2, y = (end.y + last.y) / 2;
      group.append(make("path", { class: "cross", d: `M${x - 5},${y - 5}l10,10m0,-10l-10,10` }));
    }
    return this.listenTo(edge, group);
  }

  drawMap(map) {
    const sign = { input: "▸ ", sum: "+ ", concat: "‖ ", opaque: "▪ " }[map.join] || "";
    const left = map.x - map.width / 2, top = map.y - map.height / 2;
    const rx = map.join === "sum" || map.join === "concat" ? 19 : 5;
    const group = make("g", { class: `item map ${map.join}` });
    group.append(make("rect", { class: "box", x: left, y: top, width: map.width, height: map.height, rx }));
    group.append(make("text", { x: map.x, y: map.y - 3 }, sign + tail(map.name, 21)));
    group.append(make("text", { class: "size", x: map.x, y: map.y + 12 }, shapeOf(map.shape.slice(1))));
    return this.listenTo(map, group);
  }

  listenTo(item, group) {
    item.element = group;
    const [name, rows] = describe(item);
    group.setAttribute("role", "img");
    group.setAttribute("tabindex", "-1");
    group.setAttribute("aria-label", [name, ...rows.map((row) => row.join(" "))].join(", "));
    group.addEventListener("pointerenter", () => this.show(item));
    group.addEventListener("pointerleave", () => this.show(this.picked));
    group.addEventListener("focus", () => this.focusOn(item));
    group.addEventListener("click", () => this.pick(item));
    return group;
  }

  focusOn(item) {
    if (this.current) this.current.element.setAttribute("tabindex", "-1");
    this.current = item;
    item.element.setAttribute("tabindex", "0");
    this.pick(item);
  }

  pick(item) {
    if (this.picked) this.picked.element.classList.remove("picked");
    this.picked = item;
    if (item) item.element.classList.add("picked");
    this.show(item);
  }

  show(item) {
    const box = $("inspector");
    box.hidden = !item;
    if (!item) return;
    const [name, rows] = describe(item);
    const title = document.createElement("strong"), list = document.createElement("dl");
    title.textContent = name;
    for (const [key, value] of rows) {
      const dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = key;
      dd.textContent = value;
      list.append(dt, dd);
    }
    box.replaceChildren(title, list);
  }

  /** Bring an item into view and focus it. */
  go(item) {
    if (!item) return;
    if (!item.element) $("show-spare").click();
    const x = item.x ?? (item.from.x + item.into.x) / 2, y = item.y ?? (item.from.y + item.into.y) / 2;
    this.scale = Math.max(this.scale, 0.8);
    this.look(x - this.view.clientWidth / 2 / this.scale, y - this.view.clientHeight / 2 / this.scale);
    item.element.focus({ preventScroll: true });
  }

  find(name) {
    return this.data.edges.find((edge) => edge.name === name) || this.data.maps.find((map) => map.name === name);
  }

  step(by) {
    if (!this.changes.length) return;
    this.at = this.at < 0 && by < 0 ? this.changes.length - 1 : (this.at + by + this.changes.length) % this.changes.length;
    this.tally();
    this.go(this.changes[this.at]);
  }

  tally() {
    const count = this.changes.length;
    $("tally").textContent = this.at < 0 ? `${count} change${count === 1 ? "" : "s"}` : `change ${this.at + 1} of ${count}`;
  }

  toggleSpare(shown) {
    if (shown && !$("spare").childElementCount) {
      for (const edge of this.spare) $("spare").append(this.drawEdge(edge, arc(edge)));
    }
    $("spare").style.display = shown ? "" : "none";
    if (!shown && this.current && this.spare.includes(this.current)) this.focusOn(this.current.from);
    this.connect();
  }

  walk(key) {
    const item = this.current;
    if (item.kind === "map") {
      const order = this.data.maps, near = { ArrowDown: item.out[0], ArrowUp: item.in[0] };
      const fixed = { ArrowDown: this.data.links.find((link) => link.from === item)?.into,
                      ArrowUp: this.data.links.find((link) => link.into === item)?.from };
      const by = key === "ArrowRight" ? 1 : -1;
      return near[key] || fixed[key] || (key.endsWith("Right") || key.endsWith("Left") ? order[order.indexOf(item) + by] : null);
    }
    if (key === "ArrowDown") return item.into;
    if (key === "ArrowUp") return item.from;
    const siblings = item.from.out, by = key === "ArrowRight" ? 1 : -1;
    return siblings[(siblings.indexOf(item) + by + siblings.length) % siblings.length];
  }

  /** Show the part of the graph that starts at x, y; the scale is this.scale. */
  look(x, y) {
    const width = this.view.clientWidth / this.scale, height = this.view.clientHeight / this.scale;
    this.x = Math.min(Math.max(x, -width / 2), this.size.width - width / 2);
    this.y = Math.min(Math.max(y, -height / 2), this.size.height - height / 2);
    this.view.setAttribute("viewBox", `${this.x} ${this.y} ${width} ${height}`);
    const frame = $("map").querySelector("rect");
    for (const [key, value] of Object.entries({ x: this.x, y: this.y, width, height })) frame.setAttribute(key, value);
  }

  zoom(factor, left = this.view.clientWidth / 2, top = this.view.clientHeight / 2) {
    const scale = Math.min(4, Math.max(0.02, this.scale * factor));
    const x = this.x + left / this.scale - left / scale, y = this.y + top / this.scale - top / scale;
    this.scale = scale;
    this.look(x, y);
  }

  whole() {
    this.scale = Math.min(1, this.view.clientWidth / this.size.width, this.view.clientHeight / this.size.height);
    this.centre();
  }

  centre() {
    this.look((this.size.width - this.view.clientWidth / this.scale) / 2, (this.size.height - this.view.clientHeight / this.scale) / 2);
  }

  /** At first: the whole graph where that can be read, else its top; the first change where there is one. */
  home() {
    this.whole();
    const legible = 0.85;
    if (this.scale >= legible) return;
    this.scale = Math.max(legible, Math.min(1, this.view.clientWidth / this.size.width));
    const first = this.changes[0] || this.data.maps[0];
    const top = this.changes[0] ? first.y - 0.35 * this.view.clientHeight / this.scale : 0;
    this.look(first.x - this.view.clientWidth / 2 / this.scale, Math.max(0, top));
  }

  drawMiniature() {
    const map = $("map"), wires = [...this.data.carrying, ...this.data.links];
    const bare = (edge) => "M" + edge.points.map((point) => `${point.x.toFixed()},${point.y.toFixed()}`).join("L");
    map.setAttribute("viewBox", `0 0 ${this.size.width} ${this.size.height}`);
    map.querySelector(".wires").setAttribute("d", wires.map(bare).join(""));
    map.querySelector(".changes").setAttribute("d", this.changes.map(bare).join(""));
    const box = (item) => `M${item.x - item.width / 2},${item.y - item.height / 2}h${item.width}v${item.height}h${-item.width}z`;
    map.querySelector(".boxes").setAttribute("d", this.data.maps.map(box).join(""));
  }

  listen() {
    const view = this.view, map = $("map");
    let held = null, moved = false;
    view.addEventListener("pointerdown", (event) => {
      held = { x: event.clientX, y: event.clientY };
      moved = false;
    });
    addEventListener("pointermove", (event) => {
      if (!held) return;
      const dx = event.clientX - held.x, dy = event.clientY - held.y;
      if (!moved && Math.hypot(dx, dy) < 4) return;
      moved = true;
      view.classList.add("held");
      held = { x: event.clientX, y: event.clientY };
      this.look(this.x - dx / this.scale, this.y - dy / this.scale);
    });
    addEventListener("pointerup", () => (held = null, view.classList.remove("held")));
    view.addEventListener("click", (event) => {
      if (!moved && !event.target.closest(".item")) this.pick(null);
    });
    view.addEventListener("wheel", (event) => {
      const frame = view.getBoundingClientRect();
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        this.zoom(Math.exp(-event.deltaY / 300), event.clientX - frame.left, event.clientY - frame.top);
      }
    }, { passive: false });
    const jump = (event) => {
      if (event.type === "pointermove" && !event.buttons) return;
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
      this.look(at.x - view.clientWidth / 2 / this.scale, at.y - view.clientHeight / 2 / this.scale);
    };
    map.addEventListener("pointerdown", jump);
    map.addEventListener("pointermove", jump);
    view.addEventListener("keydown", (event) => this.press(event));
    addEventListener("resize", () => this.look(this.x, this.y));
    addEventListener("beforeprint", () => view.setAttribute("viewBox", `0 0 ${this.size.width} ${this.size.height}`));
    addEventListener("afterprint", () => this.look(this.x, this.y));
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = { "+": () => this.zoom(1.25), "-": () => this.zoom(0.8), 0: () => this.whole(), Escape: () => this.pick(null) };
    const next = event.key.startsWith("Arrow") && this.current ? this.walk(event.key) : null;
    if (next) this.go(next);
    else if (actions[event.key]) actions[event.key]();
    else if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
  }
}

const number = (value) => (value === null ? "unknown" : value.toLocaleString("en"));
const shapeOf = (shape) => shape.map((size) => size ?? "?").join(" × ") || "scalar";

/** What an item is: its name, and rows of what is known of it. */
function describe(item) {
  if (item.kind === "map") {
    const joins = { input: "input", single: "one edge", sum: "sum", concat: "concat", opaque: "fixed node" };
    return [item.name, [["feature map", joins[item.join]], ["shape", shapeOf(item.shape)]]];
  }
  const word = { O: item.operation, S: "skip", N: "null" };
  let state = `${item.state}, ${word[item.state]}`;
  if (item.to !== item.state) state += ` → ${item.to}${word[item.to] ? `, ${word[item.to]}` : ""}`;
  if (item.idle) state += " → carries nothing any more";
  const rows = [["edge", `${item.source} → ${item.target}`], ["state", state]];
  if (item.operation) rows.push(["parameters", number(item.params)], ["MAdds", number(item.madds)]);
  if (item.legal.length) rows.push(["may become", item.legal.join(", ")]);
  for (const [to, reason] of Object.entries(item.illegal)) rows.push([`not ${to}`, reason]);
  return [item.name, rows];
}
