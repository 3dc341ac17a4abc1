"use strict";
(() => {
  const families = JSON.parse(document.getElementById("data").textContent).families;
  const all = (selector) => [...document.querySelectorAll(selector)];
  const holder = document.getElementById("viewer");
  const note = document.getElementById("viewer-note");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let viewer = null;
  let chosen = 0;

  function ground() {
    return getComputedStyle(document.documentElement).getPropertyValue("--card").trim();
  }

  function start() {
    const canvas = document.createElement("canvas");
    if (!(canvas.getContext("webgl2") || canvas.getContext("webgl"))) {
      note.textContent = "This browser shows no 3D; this is the view along the beam.";
      return;
    }
    viewer = $3Dmol.createViewer(holder, { backgroundColor: ground(), antialias: true });
    viewer.setProjection("orthographic");
    dark.addEventListener("change", () => viewer.setBackgroundColor(ground()));
  }

  function box(cell) {
    if (cell.length !== 8) return;
    for (let i = 0; i < 8; i++) {
      for (const bit of [1, 2, 4]) {
        if (i & bit) continue;
        const [a, b] = [cell[i], cell[i | bit]];
        viewer.addLine({
          start: { x: a[0], y: a[1], z: a[2] }, end: { x: b[0], y: b[1], z: b[2] },
          color: dark.matches ? "#9aa4ad" : "#69737d",
        });
      }
    }
  }

  function model(structure) {
    if (!viewer) {
      holder.replaceChildren(...all(`.gallery [data-choose="${chosen}"]`).slice(0, 1)
        .map((button) => button.closest("figure").querySelector("svg").cloneNode(true)));
      return;
    }
    viewer.removeAllModels();
    viewer.removeAllShapes();
    const atoms = structure.atoms.map(([elem, x, y, z, mark], serial) => (
      { elem, x, y, z, serial, properties: { mark }, bonds: [], bondOrder: [] }));
    viewer.addModel().addAtoms(atoms);
    const color = { colorscheme: "Jmol" };
    viewer.setStyle({ properties: { mark: 0 } }, { sphere: { scale: 0.22, ...color } });
    viewer.setStyle({ properties: { mark: 1 } }, { sphere: { scale: 0.42, ...color } });
    box(structure.cell);
    view();
  }

  function view() {
    if (!viewer) return;
    viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]);
    const region = viewer.selectedAtoms({ properties: { mark: 1 } });
    if (region.length) {
      viewer.zoomTo({ properties: { mark: 1 } });
      viewer.zoom(0.55);
    } else {
      viewer.zoomTo();
    }
    viewer.render();
  }

  function choose(number, focus) {
    chosen = number;
    const family = families[number];
    for (const e of all(".shown-title")) e.textContent = family.title;
    for (const e of all(".shown-text")) e.textContent = family.text;
    for (const image of all("image[data-channel]")) {
      const panels = family.images[image.dataset.channel];
      if (panels) image.setAttribute("href", panels[image.dataset.panel]);
      else image.removeAttribute("href");
    }
    for (const mark of all("[data-choice]")) {
      const mine = Number(mark.dataset.choice) === number;
      mark.setAttribute("aria-checked", String(mine));
      mark.setAttribute("tabindex", mine ? "0" : "-1");
      if (mine && focus) mark.focus();
    }
    for (const button of all("[data-choose]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.choose) === number));
    }
    model(family.structure);
  }

  for (const mark of all("[data-choice]")) {
    mark.addEventListener("click", () => choose(Number(mark.dataset.choice), true));
    mark.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      choose((chosen + step + families.length) % families.length, true);
    });
  }
  for (const button of all("[data-choose]")) {
    button.addEventListener("click", () => choose(Number(button.dataset.choose), false));
  }
  const large = document.getElementById("large");
  const slider = document.getElementById("wipe");
  const shape = (tag, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };
  let wiped = null;

  function wipe() {
    if (!wiped) return;
    const at = wiped.width * Number(slider.value) / 100;
    wiped.window.setAttribute("width", String(at));
    wiped.edge.setAttribute("x", String(at - wiped.edge.width.baseVal.value / 2));
    slider.setAttribute("aria-valuetext", `${slider.value} % simulation`);
  }

  // The experiment lies below, the chosen picture of the simulation over its left part.
  function enlarge(figure) {
    const figures = [...figure.parentElement.children];
    const mine = figure.querySelector("image");
    const first = figures[0].querySelector("svg").cloneNode(true);
    const below = first.querySelector("image");
    const other = figures.map((one) => one.querySelector("image"))
      .find((image) => image.dataset.panel === (mine.dataset.panel || "simulated"));
    const { width, height } = first.viewBox.baseVal;
    wiped = null;
    if (other && other.getAttribute("href")) {
      const clip = shape("clipPath", { id: "wiped" });
      const window = shape("rect", { x: 0, y: 0, width, height });
      clip.append(window);
      const above = other.cloneNode(true);
      for (const key of ["data-channel", "data-panel"]) above.removeAttribute(key);
      above.setAttribute("clip-path", "url(#wiped)");
      const edge = shape("rect", { y: 0, width: width / 400, height, class: "edge" });
      below.after(clip, above, edge);
      wiped = { window, edge, width };
    }
    const shown = figure.querySelector("figcaption").firstChild.textContent.trim();
    document.getElementById("large-title").textContent =
      `${document.querySelector(".shown-title").textContent}: ${shown}`;
    document.getElementById("large-image").replaceChildren(first);
    document.getElementById("large-wipe").hidden = !wiped;
    slider.value = mine.dataset.panel ? 100 : 0;
    wipe();
    large.showModal();
    (wiped ? slider : document.getElementById("large-close")).focus();
  }

  slider.addEventListener("input", wipe);
  document.getElementById("large-close").addEventListener("click", () => large.close());
  large.addEventListener("click", (event) => { if (event.target === large) large.close(); });
  for (const figure of all(".panels figure")) {
    for (const part of figure.querySelectorAll("svg, .enlarge")) {
      part.addEventListener("click", () => enlarge(figure));
    }
  }
  document.getElementById("reset").addEventListener("click", view);
  try { start(); } catch (error) { viewer = null; note.textContent = "3D is not available here."; }
  choose(0, false);
  document.documentElement.dataset.ready = viewer ? "3d" : "flat";
})();
