"use strict";
// Puts the page together: the graph and its tool bar, searchable tables, links from tables into the graph.

const MANY = 3000; // edges; laying out more takes long enough that a person should ask for it

document.documentElement.classList.add("script");
const graph = new Graph(payload.inspection, payload.optimization);

function begin() {
  const wait = $("wait");
  wait.hidden = false;
  wait.textContent = "Laying out the graph …";
  setTimeout(() => {
    try {
      graph.start();
    } catch (error) {
      wait.textContent = `This graph could not be laid out (${error.message}); the tables say the same.`;
    }
  });
}

if (graph.data.carrying.length <= MANY) begin();
else {
  const ask = document.createElement("button");
  ask.textContent = `Lay out ${graph.data.carrying.length.toLocaleString("en")} edges, which may take minutes`;
  ask.addEventListener("click", begin);
  $("wait").replaceChildren(ask);
}

$("changes").hidden = !graph.changes.length;
document.querySelectorAll(".if-changes").forEach((item) => (item.hidden = !graph.changes.length));
document.querySelectorAll(".if-changes").forEach((item) => (item.style.display = graph.changes.length ? "" : "none"));
graph.tally();
const candidates = $("show-spare");
candidates.nextElementSibling.textContent = `show ${graph.spare.length.toLocaleString("en")} shortcuts that could exist (N)`;
candidates.closest("label").style.display = graph.spare.length ? "" : "none";
candidates.addEventListener("change", () => graph.toggleSpare(candidates.checked));
const actions = {
  in: () => graph.zoom(1.3), out: () => graph.zoom(1 / 1.3), fit: () => graph.whole(),
  next: () => graph.step(1), previous: () => graph.step(-1),
};
document.querySelectorAll("[data-do]").forEach((button) => {
  button.addEventListener("click", () => graph.size && actions[button.dataset.do]());
});

for (const item of [...graph.data.maps, ...graph.data.edges]) {
  const option = document.createElement("option");
  option.value = item.name;
  $("names").append(option);
}
$("find").addEventListener("change", (event) => graph.size && graph.go(graph.find(event.target.value)));
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-edge]");
  if (!link || !graph.size) return;
  $("graph").scrollIntoView();
  graph.go(graph.data.edges.find((edge) => edge.name === link.dataset.edge));
});

for (const form of document.querySelectorAll(".filter")) {
  const rows = [...document.querySelectorAll(`#${form.dataset.filter} tbody tr`)].map((row) => [row, row.textContent.toLowerCase()]);
  const update = () => {
    const words = form.querySelector("input").value.toLowerCase().split(/\s+/);
    const choice = form.querySelector("select")?.value.toLowerCase() || "";
    let shown = 0;
    for (const [row, text] of rows) {
      row.hidden = !(text.includes(choice) && words.every((word) => text.includes(word)));
      shown += !row.hidden;
    }
    form.querySelector("output").textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
  };
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
}
