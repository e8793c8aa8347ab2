"use strict";
// Where feature maps and edges lie: dagre's layered layout of every edge that carries something, before or after.

const BOX = { width: 176, height: 38 };

/** Names of a model may be long; their end tells more than their start. */
function tail(text, most) {
  const letters = Array.from(text);
  return letters.length > most ? "…" + letters.slice(1 - most).join("") : text;
}

/** Pixels that the label of an edge takes; bold where it changed. */
function labelWidth(edge) {
  return 14 + (edge.changed ? 7.4 : 6.6) * edge.label.length;
}

/** Everything that can be drawn: feature maps and edges, each with what changed about it. */
function items(inspection, optimization) {
  const edits = new Map((optimization ? optimization.edits : []).map((edit) => [edit.edge, edit.to]));
  const idle = new Set(optimization ? optimization.idle_edges : []);
  const maps = inspection.feature_maps.map((map) => ({ ...map, kind: "map", out: [], in: [] }));
  const byName = new Map(maps.map((map) => [map.name, map]));
  const edges = inspection.edges.map((edge) => {
    const to = edits.get(edge.name) ?? edge.state;
    const changed = edits.has(edge.name) || idle.has(edge.name);
    const gone = idle.has(edge.name) || (to === "N" && edge.state !== "N");
    const word = edge.operation || "";
    let label = edge.state === "O" ? word : "";
    if (edits.has(edge.name)) label = `${edge.state === "O" ? word + " " : ""}${edge.state} → ${to}`;
    else if (idle.has(edge.name)) label = `${word || "skip"}: idle`;
    return { ...edge, kind: "edge", to, changed, gone, idle: idle.has(edge.name), label: tail(label, 24) };
  });
  const links = maps.flatMap((map) => map.inputs.map((source) => ({ kind: "link", source, target: map.name })));
  for (const edge of [...edges, ...links]) {
    edge.from = byName.get(edge.source);
    edge.into = byName.get(edge.target);
  }
  return { maps, edges, links, carrying: edges.filter((edge) => edge.state !== "N" || edge.changed) };
}

/** Set x and y of every map, points of every edge that carries something; returns the size of the whole. */
function layOut({ maps, carrying, links }) {
  const graph = new dagre.graphlib.Graph({ multigraph: true });
  graph.setGraph({ rankdir: "TB", ranksep: 26, nodesep: 26, edgesep: 14, marginx: 24, marginy: 24 });
  const id = new Map(maps.map((map, i) => [map, String(i)]));
  maps.forEach((map) => graph.setNode(id.get(map), { ...BOX }));
  [...carrying, ...links].forEach((edge, i) => {
    const label = edge.label ? { width: labelWidth(edge) + 4, height: 18, labelpos: "c" } : { width: 0, height: 0 };
    graph.setEdge(id.get(edge.from), id.get(edge.into), { ...label, weight: edge.state === "O" ? 2 : 1 }, String(i));
  });
  dagre.layout(graph);
  maps.forEach((map) => Object.assign(map, BOX, { x: graph.node(id.get(map)).x, y: graph.node(id.get(map)).y }));
  [...carrying, ...links].forEach((edge, i) => {
    const found = graph.edge(id.get(edge.from), id.get(edge.into), String(i));
    Object.assign(edge, { points: found.points, x: found.x, y: found.y });
  });
  return { width: graph.graph().width, height: graph.graph().height };
}

/** A smooth path through dagre's points: straight to the middle of each segment, curved around each bend. */
function curve(points) {
  const [first, ...rest] = points;
  let path = `M${first.x},${first.y}`;
  for (let i = 0; i < rest.length - 1; i++) {
    const bend = rest[i], next = rest[i + 1];
    const end = i === rest.length - 2 ? next : { x: (bend.x + next.x) / 2, y: (bend.y + next.y) / 2 };
    path += `Q${bend.x},${bend.y} ${end.x},${end.y}`;
  }
  return rest.length === 1 ? `${path}L${rest[0].x},${rest[0].y}` : path;
}

/** A null edge is drawn over the finished layout: between sides that face each other, or, stacked, bulging out. */
function arc({ from, into }) {
  const side = into.x >= from.x ? 1 : -1;
  const apart = Math.abs(into.x - from.x) > from.width;
  const x1 = from.x + (side * from.width) / 2, x2 = into.x + ((apart ? -side : side) * into.width) / 2;
  if (apart) return `M${x1},${from.y}C${(x1 + x2) / 2},${from.y} ${(x1 + x2) / 2},${into.y} ${x2},${into.y}`;
  const bulge = side * Math.min(160, 30 + Math.abs(into.y - from.y) / 4);
  return `M${x1},${from.y}C${x1 + bulge},${from.y} ${x2 + bulge},${into.y} ${x2},${into.y}`;
}
